"""Studies: contestants, protocol, statistics, verdict and stored results.

Import from the modules: reports read stored studies without loading torch.
"""
