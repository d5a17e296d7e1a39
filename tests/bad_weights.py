"""Weights that no sound network has, as torch would save them."""

import torch


def bad_weights(weights):
    """Yield kinds of bad weights."""
    first, *_ = weights
    bias = next(key for key in weights if key.endswith(".bias"))
    head = next(key for key in weights if key in ("action_net.weight", "q_net.q_net.4.weight"))
    inputs = [key for key, value in weights.items() if value.ndim == 2 and value.shape[1] == weights[first].shape[1]]
    yield "nan", weights | {first: weights[first] * float("nan")}
    yield "one_nan", weights | {bias: torch.where(torch.arange(len(weights[bias])) == 3, float("nan"), weights[bias])}
    yield "inf", weights | {head: weights[head] + float("inf")}
    yield "minus_inf", weights | {bias: weights[bias] - float("inf")}
    yield "overflowing", weights | {key: torch.full_like(value, 3e38) for key, value in weights.items()}
    yield "of_other_inputs", weights | {key: weights[key][:, :9].clone() for key in inputs}
    yield (
        "of_five_actions",
        weights
        | {
            key: value.repeat(2, *[1] * (value.ndim - 1))[:5].clone()
            for key, value in weights.items()
            if len(value) == 3
        },
    )
    yield "transposed", weights | {first: weights[first].T.contiguous()}
    yield "wrong_bias", weights | {bias: torch.ones(7)}
    yield "scalar", weights | {first: torch.tensor(1.0)}
    yield "flat", weights | {first: weights[first].flatten()}
    yield "without_bias", {key: value for key, value in weights.items() if key != bias}
    yield "without_head", {key: value for key, value in weights.items() if key != head}
    yield "with_more", weights | {"extra": torch.ones(2)}
    yield "of_nothing", {}
    yield "a_tensor", torch.ones(3)
    yield "a_list", [1, 2]
    yield "numbered", dict(enumerate(weights.values()))
    yield "numbers", dict.fromkeys(weights, 1.0)
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.complex64):
        yield f"of_{str(dtype)[6:]}", {key: value.to(dtype) for key, value in weights.items()}
    yield "sparse", weights | {first: weights[first].to_sparse()}
    yield "strided", weights | {first: torch.empty(64, 40)[:, ::2]}
    yield "offset", weights | {bias: torch.ones(200)[100:164]}
    yield "repeating", weights | {first: torch.ones(1).expand(200_000, 200_000)}
    yield "repeating_rows", weights | {first: torch.ones(1, 20).expand(64, 20)}
    yield (
        "shared",
        {key: torch.ones(1, 1).expand(value.shape) if value.ndim == 2 else value for key, value in weights.items()},
    )
    yield "large", weights | {first: torch.zeros(300_000, 20)}
    yield "empty_layer", weights | {first: torch.zeros(0, 20)}
