"""Do noise levels that share one network hurt each other, and do rules of multi-task learning help?"""
