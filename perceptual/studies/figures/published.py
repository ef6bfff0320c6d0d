"""Figures that the papers state, drawn beside one's own and labelled "published".

Numbers of Kumar et al. 2022 (TMLR) unless said otherwise: ImageNet at 64x64, BAPPS 2AFC. Where the
paper contradicts itself, its table is quoted.
"""

# network -> (top-1 accuracy, score). The accuracy of ResNet-200 is "about 65".
OUT_OF_THE_BOX = {
    "resnet18": (52.0, 68.5), "resnet200": (65.0, 67.6), "efficientnet_b5": (66.3, 67.2)}

# network -> score out of the box (Table 1).
DEFAULT_SCORE = {"resnet6": 69.1, "resnet50": 68.2, "resnet200": 67.6, "vit_b8": 67.6,
                 "vit_l4": 67.9}

# network -> parameter -> gain of the best score over the default (Table 1).
GAINS = {
    "resnet6": {"width": 0.4, "weight_decay": 0.3, "central_crop": 0.0, "train_steps": 0.5},
    "resnet50": {"width": 0.4, "weight_decay": 0.7, "central_crop": 0.7, "train_steps": 1.5},
    "resnet200": {"width": 0.2, "weight_decay": 1.3, "central_crop": 1.2, "train_steps": 1.9},
    "vit_b8": {"width": 1.1, "depth": 1.0, "weight_decay": 1.3, "central_crop": 0.9,
               "train_steps": 1.1},
    "vit_l4": {"width": 0.4, "depth": 0.4, "weight_decay": -0.1, "central_crop": -1.1,
               "train_steps": 0.5},
}

# parameter -> network -> the value at the best score. ViT-B has 12 blocks and ViT-L 24: 2 are best.
BEST_VALUE = {
    "width": {"resnet6": 0.25, "resnet50": 0.25, "vit_b8": 0.06, "vit_l4": 0.12},
    "depth": {"vit_b8": 2 / 12, "vit_l4": 2 / 24},
}

# The accuracy at the best score of sweeps of training steps, in percent: (lowest, highest).
PEAK_ACCURACY = {"resnet6": (15, 25), "resnet50": (15, 25), "resnet200": (15, 25),
                 "vit_b8": (40, 50), "vit_l4": (40, 50)}

# network -> distance -> score.
FUNCTIONS = {"resnet6": {"local": 69.1, "mean_pool": 69.7, "style": 69.5}}
FUNCTIONS_EARLY_STOPPED = {"resnet200": {"local": 69.5, "mean_pool": 69.8, "style": 69.7},
                           "resnet6": {"mean_pool": 70.2}}

CORRELATION_BEYOND = -0.84
RESIZED = (64.2, 67.6)  # the lowest and highest score of networks of 224x224 pixels
ORACLE = 80.0  # "about": the highest score there is on BAPPS

# Zhang et al. 2018, Table 5: AlexNet of supervised training, without learned weights.
ALEXNET_BY_SUBSET = {"traditional": 70.6, "cnn": 83.1, "superres": 71.7, "deblur": 60.7,
                     "color": 65.0, "frameinterp": 62.7}


def best_score(network, parameter):
  """Returns the best score of a sweep, the default's and the gain; None where it is not stated."""
  gain = GAINS.get(network, {}).get(parameter)
  return None if gain is None else round(DEFAULT_SCORE[network] + gain, 1)
