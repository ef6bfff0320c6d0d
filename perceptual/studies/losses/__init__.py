"""What a study of losses shows: tables by task, ranks, what explains them, figures, pictures."""
