"""EmbeddingBag where PyTorch is no oracle."""

import minipar


def test_a_gradient_by_frequency_is_divided_by_the_uses_of_its_own_row():
    """As documented; PyTorch 2.13 on the CPU divides by the uses of another row (10.5 here for row 1)."""
    weight = minipar.zeros(5, 1, requires_grad=True)
    numbers = minipar.tensor([1, 0, 0, 1, 4, 1, 3])
    bags = minipar.nn.functional.embedding_bag(
        numbers, weight, minipar.tensor([0, 3]), mode="sum", scale_grad_by_freq=True
    )
    (bags * minipar.tensor([[1.0], [10.0]])).sum().backward()
    assert weight.grad.flatten().tolist() == [1.0, 7.0, 0.0, 10.0, 10.0]
