"""Communicators: one interface, and a file for each way in which ranks reach one another."""

from .communicator import Communicator
from .errors import CommunicatorError, CommunicatorTimeout, MismatchError, PeerFailedError
from .work import Work

__all__ = ["Communicator", "CommunicatorError", "CommunicatorTimeout", "MismatchError", "PeerFailedError", "Work"]
