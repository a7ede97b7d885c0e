"""Recurrent layers: whole sequences through RNN, LSTM and GRU, single steps through their cells."""

from .base import RNNBase
from .cells import GRUCell, LSTMCell, RNNCell
from .gru import GRU
from .lstm import LSTM
from .rnn import RNN

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNBase", "RNNCell"]
