"""The 14 loss networks of a study, each with the four layers that it extracts.

Pihlgren et al., "A Systematic Performance Analysis of Deep Perceptual Loss Networks: Breaking
Transfer Learning Conventions" (arXiv 2302.04032), who took them from torchvision with its ImageNet
weights. The networks have more taps than these: the study compared losses of one layer each.
"""

# Network: the taps that are the study's layers, from the first to the last.
LAYERS = {
    "alexnet": ("relu1", "relu2", "relu3", "relu5"),
    "vgg11": ("relu1_1", "relu2_1", "relu3_2", "relu5_2"),
    "vgg16": ("relu1_2", "relu2_2", "relu3_3", "relu5_3"),
    "vgg16_bn": ("relu1_2", "relu2_2", "relu3_3", "relu5_3"),
    "vgg19": ("relu1_2", "relu2_2", "relu3_4", "relu5_4"),
    "densenet121": ("relu0", "denseblock1", "denseblock2", "denseblock4"),
    "torchvision_resnet18": ("relu", "layer1", "layer2", "layer4"),
    "torchvision_resnet50": ("relu", "layer1", "layer2", "layer4"),
    "resnext50_32x4d": ("relu", "layer1", "layer2", "layer4"),
    "googlenet": ("conv1", "inception3a", "inception4a", "inception5b"),
    "inception_v3": ("Conv2d_2b_3x3", "Mixed_5b", "Mixed_5d", "Mixed_6e"),
    "squeezenet1_1": ("relu1", "fire2", "fire5", "fire9"),
    "torchvision_efficientnet_b0": ("features_0", "features_1", "features_4", "features_7"),
    "torchvision_efficientnet_b7": ("features_0", "features_1", "features_4", "features_7"),
}
