"""`minipar bench --parallel`: training steps split over two workers, beside one worker and beside PyTorch's DDP.

``splits``      what is split, how, and the bars
``rank``        one rank's process: orders, blocks of steps; ``own``: minipar's steps; ``ddp``: PyTorch's
``contest``     blocks in turn
``bars``        the ratios found, and whether they are as they are meant to be
``comparison``  the run, and its tables
"""

from .comparison import measure

__all__ = ["measure"]
