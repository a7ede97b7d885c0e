"""The table of bad inputs: wrong rank, shape, dtype, device, axis, index or argument, for every public function."""

from __future__ import annotations

from tests.refusals import cases_init, cases_optim
from tests.refusals.cases_activation import ACTIVATIONS
from tests.refusals.cases_arrange import ARRANGE
from tests.refusals.cases_autograd import AUTOGRAD
from tests.refusals.cases_conv import CONVOLUTIONS
from tests.refusals.cases_creation import CREATION
from tests.refusals.cases_elementwise import ELEMENTWISE
from tests.refusals.cases_linalg import LINALG
from tests.refusals.cases_loss import LOSSES
from tests.refusals.cases_module import MODULES
from tests.refusals.refusal import Refusal

TABLE: list[Refusal] = [
    *CONVOLUTIONS,
    *ACTIVATIONS,
    *LOSSES,
    *MODULES,
    *ELEMENTWISE,
    *ARRANGE,
    *CREATION,
    *LINALG,
    *AUTOGRAD,
    *cases_init.REFUSALS,
    *cases_optim.REFUSALS,
]
