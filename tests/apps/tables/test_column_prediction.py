import torch

from interpolants.apps.tables.column_prediction import ColumnPrediction


def test_a_quantile_beyond_weights_that_sum_to_less_than_one_is_the_last_value():
    weights = torch.tensor([[0.5, 0.4999], [1.0, 0.0]])
    law = ColumnPrediction(
        name="a", values=torch.tensor([[1.0, 2.0], [3.0, 4.0]]), weights=weights, discrete=False
    )
    assert law.quantile(0.99999).tolist() == [2, 3]
