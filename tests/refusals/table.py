"""The table of bad inputs: wrong rank, shape, dtype, device, axis, index or argument, for every public function."""

from __future__ import annotations

from tests.refusals import cases_init, cases_optim
from tests.refusals.cases_activation import ACTIVATIONS
from tests.refusals.cases_arrange import ARRANGE
from tests.refusals.cases_attention import ATTENTION
from tests.refusals.cases_autograd import AUTOGRAD
from tests.refusals.cases_completeness import COMPLETENESS
from tests.refusals.cases_conv import CONVOLUTIONS
from tests.refusals.cases_creation import CREATION
from tests.refusals.cases_decompose import DECOMPOSITIONS
from tests.refusals.cases_dropout import DROPOUT
from tests.refusals.cases_elementwise import ELEMENTWISE
from tests.refusals.cases_grid_sample import GRID_SAMPLES
from tests.refusals.cases_interop import INTEROP
from tests.refusals.cases_linalg import LINALG
from tests.refusals.cases_loss import LOSSES
from tests.refusals.cases_module import MODULES
from tests.refusals.cases_normalization import NORMALIZATION
from tests.refusals.cases_pipeline import PIPELINES
from tests.refusals.cases_plain import PLAIN
from tests.refusals.cases_recurrent import RECURRENT
from tests.refusals.cases_reduce import REDUCE
from tests.refusals.cases_reparametrized import REPARAMETRIZED
from tests.refusals.cases_simulate import SIMULATED
from tests.refusals.cases_stragglers import STRAGGLERS
from tests.refusals.refusal import Refusal

TABLE: list[Refusal] = ATTENTION + (
    DROPOUT
    + NORMALIZATION
    + [
        *CONVOLUTIONS,
        *ACTIVATIONS,
        *LOSSES,
        *MODULES,
        *ELEMENTWISE,
        *ARRANGE,
        *CREATION,
        *INTEROP,
        *LINALG,
        *AUTOGRAD,
        *RECURRENT,
        *REDUCE,
        *STRAGGLERS,
        *PLAIN,
        *DECOMPOSITIONS,
        *REPARAMETRIZED,
        *GRID_SAMPLES,
        *COMPLETENESS,
        *PIPELINES,
        *SIMULATED,
        *cases_init.REFUSALS,
        *cases_optim.REFUSALS,
    ]
)
