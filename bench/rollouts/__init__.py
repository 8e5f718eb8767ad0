"""Guarded rollouts in fake time: how often they come back without a reason, and how soon with one."""
