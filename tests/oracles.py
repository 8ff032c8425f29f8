"""Reference schedules in plain Python, each written from its paper with torch's conventions, under its public name.

The optimizers' oracles are in optim_oracles, the losses' in loss_oracles.
"""

import numpy as np


def StepLR(base_lr, t, step_size, gamma=0.1):
    """Learning rate of step t = 0, 1, ...: decayed by gamma every `step_size` steps."""
    return base_lr * gamma ** (t // step_size)


def CosineAnnealingLR(base_lr, t, T_max, eta_min=0.0):
    """Learning rate of step t = 0, 1, ...: Loshchilov & Hutter (2017), eq. 5 without restarts."""
    return eta_min + (base_lr - eta_min) * (1 + np.cos(np.pi * t / T_max)) / 2
