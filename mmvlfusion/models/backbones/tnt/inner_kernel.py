"""The inner transformer block of TNT as one Triton kernel for each direction.

A program computes the block for several patches and keeps all intermediate values
in registers: it reads words once and writes them once. The backward kernel
recomputes the forward pass.

All parameters are passed as one vector, ``packed``: weight and bias of the first
norm, weight (3c, c) of query, key and value, weight and bias of the projection, weight
and bias of the second norm, and weight and bias of both layers of the feed-forward
network, (h, c) and (c, h). Channels, and channels of a head, are padded to powers of
two, at least 16, as the matmuls of Triton need.

Importing this module needs Triton and registers the operator
``torch.ops.mmvlfusion.tnt_inner_block``. With ``TRITON_INTERPRET=1`` in the
environment, Triton runs the kernels on a CPU.

Notation of shapes:

    ====  =============================================
    P     patches of all images of the batch
    m     words of a patch
    c     channels of a word
    h     hidden channels of the feed-forward network
    R     words of the patches of a program
    ====  =============================================
"""

from typing import Optional, Tuple

import torch
import triton
import triton.language as tl

DTYPES = {
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
}
MIN_SIDE = 16  # Of the matrices of a matmul.
# Words of a program, of 16 a patch: what its registers and shared memory hold.
FORWARD_ROWS = {torch.float32: 64, torch.bfloat16: 128, torch.float16: 128}
BACKWARD_ROWS = {torch.float32: 32, torch.bfloat16: 128, torch.float16: 128}
NUM_WARPS = 8
HIDDEN_STEP = 32  # Hidden channels that are in registers at a time.
# The programs of the backward kernel; each sums the gradients of its patches.
PROGRAMS_PER_PROCESSOR = 2
PROGRAMS_WITHOUT_GPU = 2


@triton.jit
def _dot(a, b, DTYPE: tl.constexpr, INTERPRET: tl.constexpr, PRECISION: tl.constexpr):
    """The product of two matrices that are rounded to ``DTYPE``, in float32."""
    a = a.to(DTYPE)
    b = b.to(DTYPE)
    if INTERPRET:
        # The interpreter has no matmul of bfloat16. This one has the same result.
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
def _vector(params, offset, index, size):
    """Part of the parameters as a vector, zero beyond its size."""
    return tl.load(params + offset + index, mask=index < size, other=0.0).to(tl.float32)


@triton.jit
def _places(rows, num_rows, columns, num_columns, stride):
    """Offsets of the elements of a matrix, and a mask of those that exist."""
    inside = (rows < num_rows)[:, None] & (columns < num_columns)[None, :]
    return rows[:, None] * stride + columns[None, :], inside


@triton.jit
def _matrix(params, offset, rows, num_rows, columns, num_columns, stride):
    """Part of the parameters as a matrix, zero beyond its size."""
    places, inside = _places(rows, num_rows, columns, num_columns, stride)
    return tl.load(params + offset + places, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _add_vector(sums, offset, index, size, values):
    """Add the sum of the rows of (R, size) to part of the sums."""
    inside = index < size
    old = tl.load(sums + offset + index, mask=inside, other=0.0)
    tl.store(sums + offset + index, old + tl.sum(values, axis=0), mask=inside)


@triton.jit
def _add_matrix(sums, offset, rows, num_rows, columns, num_columns, stride, values):
    """Add a matrix to part of the sums."""
    places, inside = _places(rows, num_rows, columns, num_columns, stride)
    old = tl.load(sums + offset + places, mask=inside, other=0.0)
    tl.store(sums + offset + places, old + values, mask=inside)


@triton.jit
def _normalise(x, channel, C: tl.constexpr, EPS: tl.constexpr):
    """Normalised channels of (R, c), and the inverse of their deviation, (R, 1)."""
    mean = tl.sum(x, axis=1) / C
    x = tl.where(channel[None, :] < C, x - mean[:, None], 0.0)
    scale = 1 / tl.sqrt(tl.sum(x * x, axis=1) / C + EPS)
    return x * scale[:, None], scale[:, None]


@triton.jit
def _normalise_backward(grad, normalised, scale, weight, C: tl.constexpr):
    """Gradient of the input of a layer norm."""
    grad = grad * weight[None, :]
    mean = tl.sum(grad, axis=1) / C
    slope = tl.sum(grad * normalised, axis=1) / C
    # Channels of the padding receive a gradient, which is never read.
    return scale * (grad - mean[:, None] - normalised * slope[:, None])


@triton.jit
def _gelu(x):
    return 0.5 * x * (1 + tl.math.erf(x * 0.7071067811865476))


@triton.jit
def _gelu_slope(x):
    density = 0.3989422804014327 * tl.exp(-0.5 * x * x)
    return 0.5 * (1 + tl.math.erf(x * 0.7071067811865476)) + x * density


@triton.jit
def _head_weight(
    params,
    part,
    head,
    channel,
    dim,
    C: tl.constexpr,
    HEAD_C: tl.constexpr,
):
    """Weight of query, key or value (0, 1, 2) of a head, (c of the head, c)."""
    offset = 2 * C + (part * C + head * HEAD_C) * C
    return _matrix(params, offset, dim, HEAD_C, channel, C, C)


@triton.jit
def _attention(
    y,
    params,
    head,
    channel,
    dim,
    C: tl.constexpr,
    HEAD_C: tl.constexpr,
    WORDS: tl.constexpr,
    DTYPE: tl.constexpr,
    INTERPRET: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Query, key and value of a head, (R / m, m, c of the head) each, and the
    attention weights, (R / m, m, m)."""
    patches: tl.constexpr = y.shape[0] // WORDS
    head_pad: tl.constexpr = dim.shape[0]
    w_q = _head_weight(params, 0, head, channel, dim, C, HEAD_C)
    w_k = _head_weight(params, 1, head, channel, dim, C, HEAD_C)
    w_v = _head_weight(params, 2, head, channel, dim, C, HEAD_C)
    q = _dot(y, tl.trans(w_q), DTYPE, INTERPRET, PRECISION)
    k = _dot(y, tl.trans(w_k), DTYPE, INTERPRET, PRECISION)
    v = _dot(y, tl.trans(w_v), DTYPE, INTERPRET, PRECISION)
    q = tl.reshape(q, [patches, WORDS, head_pad])
    k = tl.reshape(k, [patches, WORDS, head_pad])
    v = tl.reshape(v, [patches, WORDS, head_pad])
    scores = _dot(q, tl.permute(k, [0, 2, 1]), DTYPE, INTERPRET, PRECISION)
    scores = scores * (HEAD_C**-0.5)
    scores = tl.exp(scores - tl.max(scores, axis=2)[:, :, None])
    weights = scores / tl.sum(scores, axis=2)[:, :, None]
    return q, k, v, weights


@triton.jit
def _attend(
    x,
    params,
    channel,
    dim,
    branch_scale,
    C: tl.constexpr,
    HEADS: tl.constexpr,
    WORDS: tl.constexpr,
    EPS: tl.constexpr,
    DTYPE: tl.constexpr,
    INTERPRET: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The words after the attention branch, (R, c)."""
    head_c: tl.constexpr = C // HEADS
    rows: tl.constexpr = x.shape[0]
    proj: tl.constexpr = 2 * C + 3 * C * C
    normalised, _deviation = _normalise(x, channel, C, EPS)
    y = normalised * _vector(params, 0, channel, C)[None, :]
    y = y + _vector(params, C, channel, C)[None, :]
    update = tl.zeros_like(x)
    for head in range(HEADS):
        _q, _k, v, weights = _attention(
            y,
            params,
            head,
            channel,
            dim,
            C,
            head_c,
            WORDS,
            DTYPE,
            INTERPRET,
            PRECISION,
        )
        mixed = _dot(weights, v, DTYPE, INTERPRET, PRECISION)
        mixed = tl.reshape(mixed, [rows, dim.shape[0]])
        w = _matrix(params, proj + head * head_c, channel, C, dim, head_c, C)
        update += _dot(mixed, tl.trans(w), DTYPE, INTERPRET, PRECISION)
    update += _vector(params, proj + C * C, channel, C)[None, :]
    return x + branch_scale * update


@triton.jit
def _read(pointer, row, num_rows, channel, C: tl.constexpr):
    """Rows of (P * m, c), zero beyond their number."""
    places = row.to(tl.int64)[:, None] * C + channel[None, :]
    inside = (row < num_rows)[:, None] & (channel < C)[None, :]
    return tl.load(pointer + places, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _write(pointer, row, num_rows, channel, values, C: tl.constexpr):
    """Write rows of (P * m, c)."""
    places = row.to(tl.int64)[:, None] * C + channel[None, :]
    inside = (row < num_rows)[:, None] & (channel < C)[None, :]
    tl.store(pointer + places, values.to(pointer.dtype.element_ty), mask=inside)


@triton.jit
def _branch_scale(
    scales, branch, row, num_rows, WORDS: tl.constexpr, HAS_SCALES: tl.constexpr
):
    """Factor of a residual branch for each row, (R, 1)."""
    scale = tl.full([row.shape[0]], 1.0, tl.float32)
    if HAS_SCALES:
        place = branch * (num_rows // WORDS) + row // WORDS
        scale = tl.load(scales + place, mask=row < num_rows, other=0.0).to(tl.float32)
    return scale[:, None]


@triton.jit
def _forward_kernel(
    x_pointer,
    params,
    scales,
    out_pointer,
    num_rows,
    C: tl.constexpr,
    HEADS: tl.constexpr,
    HIDDEN: tl.constexpr,
    WORDS: tl.constexpr,
    EPS: tl.constexpr,
    HAS_SCALES: tl.constexpr,
    ROWS: tl.constexpr,
    C_PAD: tl.constexpr,
    HEAD_PAD: tl.constexpr,
    STEP: tl.constexpr,
    DTYPE: tl.constexpr,
    INTERPRET: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute the block for ``ROWS`` words."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, C_PAD)
    dim = tl.arange(0, HEAD_PAD)
    norm2: tl.constexpr = 3 * C + 4 * C * C
    fc1: tl.constexpr = norm2 + 2 * C
    fc2: tl.constexpr = fc1 + HIDDEN * C + HIDDEN

    x = _attend(
        _read(x_pointer, row, num_rows, channel, C),
        params,
        channel,
        dim,
        _branch_scale(scales, 0, row, num_rows, WORDS, HAS_SCALES),
        C,
        HEADS,
        WORDS,
        EPS,
        DTYPE,
        INTERPRET,
        PRECISION,
    )
    normalised, _deviation = _normalise(x, channel, C, EPS)
    z = normalised * _vector(params, norm2, channel, C)[None, :]
    z = z + _vector(params, norm2 + C, channel, C)[None, :]
    update = tl.zeros_like(x)
    for first in range(0, HIDDEN, STEP):
        unit = first + tl.arange(0, STEP)
        w1 = _matrix(params, fc1, unit, HIDDEN, channel, C, C)
        hidden = _dot(z, tl.trans(w1), DTYPE, INTERPRET, PRECISION)
        hidden += _vector(params, fc1 + HIDDEN * C, unit, HIDDEN)[None, :]
        w2 = _matrix(params, fc2, channel, C, unit, HIDDEN, HIDDEN)
        update += _dot(_gelu(hidden), tl.trans(w2), DTYPE, INTERPRET, PRECISION)
    update += _vector(params, fc2 + HIDDEN * C, channel, C)[None, :]
    x += _branch_scale(scales, 1, row, num_rows, WORDS, HAS_SCALES) * update
    _write(out_pointer, row, num_rows, channel, x, C)


@triton.jit
def _backward_kernel(
    grad_pointer,
    x_pointer,
    params,
    scales,
    grad_x_pointer,
    sums,
    num_rows,
    num_params,
    C: tl.constexpr,
    HEADS: tl.constexpr,
    HIDDEN: tl.constexpr,
    WORDS: tl.constexpr,
    EPS: tl.constexpr,
    HAS_SCALES: tl.constexpr,
    ROWS: tl.constexpr,
    C_PAD: tl.constexpr,
    HEAD_PAD: tl.constexpr,
    STEP: tl.constexpr,
    DTYPE: tl.constexpr,
    INTERPRET: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute gradients of words, ``ROWS`` at a time, and sum parameters' gradients.

    Each program sums into its own row of ``sums``, so that the order of the
    additions is fixed.
    """
    channel = tl.arange(0, C_PAD)
    dim = tl.arange(0, HEAD_PAD)
    head_c: tl.constexpr = C // HEADS
    patches: tl.constexpr = ROWS // WORDS
    qkv: tl.constexpr = 2 * C
    proj: tl.constexpr = qkv + 3 * C * C
    norm2: tl.constexpr = proj + C * C + C
    fc1: tl.constexpr = norm2 + 2 * C
    fc2: tl.constexpr = fc1 + HIDDEN * C + HIDDEN
    sums += tl.program_id(0) * num_params

    for block in range(tl.program_id(0), tl.cdiv(num_rows, ROWS), tl.num_programs(0)):
        row = block * ROWS + tl.arange(0, ROWS)
        x = _read(x_pointer, row, num_rows, channel, C)
        grad = _read(grad_pointer, row, num_rows, channel, C)
        scale1 = _branch_scale(scales, 0, row, num_rows, WORDS, HAS_SCALES)
        scale2 = _branch_scale(scales, 1, row, num_rows, WORDS, HAS_SCALES)
        attended = _attend(
            x,
            params,
            channel,
            dim,
            scale1,
            C,
            HEADS,
            WORDS,
            EPS,
            DTYPE,
            INTERPRET,
            PRECISION,
        )

        # The feed-forward branch.
        normalised, deviation = _normalise(attended, channel, C, EPS)
        weight = _vector(params, norm2, channel, C)
        z = normalised * weight[None, :]
        z = z + _vector(params, norm2 + C, channel, C)[None, :]
        grad_update = scale2 * grad
        _add_vector(sums, fc2 + HIDDEN * C, channel, C, grad_update)
        grad_z = tl.zeros_like(z)
        for first in range(0, HIDDEN, STEP):
            unit = first + tl.arange(0, STEP)
            w1 = _matrix(params, fc1, unit, HIDDEN, channel, C, C)
            hidden = _dot(z, tl.trans(w1), DTYPE, INTERPRET, PRECISION)
            hidden += _vector(params, fc1 + HIDDEN * C, unit, HIDDEN)[None, :]
            w2 = _matrix(params, fc2, channel, C, unit, HIDDEN, HIDDEN)
            grad_hidden = _dot(grad_update, w2, DTYPE, INTERPRET, PRECISION)
            grad_w2 = _dot(
                tl.trans(grad_update), _gelu(hidden), DTYPE, INTERPRET, PRECISION
            )
            _add_matrix(sums, fc2, channel, C, unit, HIDDEN, HIDDEN, grad_w2)
            grad_hidden *= _gelu_slope(hidden)
            grad_w1 = _dot(tl.trans(grad_hidden), z, DTYPE, INTERPRET, PRECISION)
            _add_matrix(sums, fc1, unit, HIDDEN, channel, C, C, grad_w1)
            _add_vector(sums, fc1 + HIDDEN * C, unit, HIDDEN, grad_hidden)
            grad_z += _dot(grad_hidden, w1, DTYPE, INTERPRET, PRECISION)
        _add_vector(sums, norm2, channel, C, grad_z * normalised)
        _add_vector(sums, norm2 + C, channel, C, grad_z)
        grad += _normalise_backward(grad_z, normalised, deviation, weight, C)

        # The attention branch.
        normalised, deviation = _normalise(x, channel, C, EPS)
        weight = _vector(params, 0, channel, C)
        y = normalised * weight[None, :] + _vector(params, C, channel, C)[None, :]
        grad_update = scale1 * grad
        _add_vector(sums, proj + C * C, channel, C, grad_update)
        grad_y = tl.zeros_like(y)
        for head in range(HEADS):
            q, k, v, weights = _attention(
                y,
                params,
                head,
                channel,
                dim,
                C,
                head_c,
                WORDS,
                DTYPE,
                INTERPRET,
                PRECISION,
            )
            mixed = _dot(weights, v, DTYPE, INTERPRET, PRECISION)
            mixed = tl.reshape(mixed, [ROWS, HEAD_PAD])
            grad_w = _dot(tl.trans(grad_update), mixed, DTYPE, INTERPRET, PRECISION)
            _add_matrix(sums, proj + head * head_c, channel, C, dim, head_c, C, grad_w)
            w = _matrix(params, proj + head * head_c, channel, C, dim, head_c, C)
            grad_mixed = _dot(grad_update, w, DTYPE, INTERPRET, PRECISION)
            grad_mixed = tl.reshape(grad_mixed, [patches, WORDS, HEAD_PAD])
            grad_weights = _dot(
                grad_mixed, tl.permute(v, [0, 2, 1]), DTYPE, INTERPRET, PRECISION
            )
            mean = tl.sum(grad_weights * weights, axis=2)[:, :, None]
            grad_scores = weights * (grad_weights - mean) * (head_c**-0.5)
            turned = tl.permute(grad_scores, [0, 2, 1])
            grad_q = _dot(grad_scores, k, DTYPE, INTERPRET, PRECISION)
            grad_k = _dot(turned, q, DTYPE, INTERPRET, PRECISION)
            grad_v = _dot(
                tl.permute(weights, [0, 2, 1]), grad_mixed, DTYPE, INTERPRET, PRECISION
            )
            for part in tl.static_range(3):
                if part == 0:
                    projected = tl.reshape(grad_q, [ROWS, HEAD_PAD])
                elif part == 1:
                    projected = tl.reshape(grad_k, [ROWS, HEAD_PAD])
                else:
                    projected = tl.reshape(grad_v, [ROWS, HEAD_PAD])
                w = _head_weight(params, part, head, channel, dim, C, head_c)
                grad_y += _dot(projected, w, DTYPE, INTERPRET, PRECISION)
                grad_w = _dot(tl.trans(projected), y, DTYPE, INTERPRET, PRECISION)
                offset = qkv + (part * C + head * head_c) * C
                _add_matrix(sums, offset, dim, head_c, channel, C, C, grad_w)
        _add_vector(sums, 0, channel, C, grad_y * normalised)
        _add_vector(sums, C, channel, C, grad_y)
        grad += _normalise_backward(grad_y, normalised, deviation, weight, C)
        _write(grad_x_pointer, row, num_rows, channel, grad, C)
        # The next iteration reads the sums that other threads have written.
        tl.debug_barrier()


IS_INTERPRETED = not isinstance(_forward_kernel, triton.runtime.JITFunction)


def constants(
    channels: int,
    num_heads: int,
    hidden: int,
    eps: float,
    words: int,
    has_scales: bool,
    dtype: torch.dtype,
    rows: int,
) -> dict:
    """Make the constants of a kernel.

    Args:
        channels (int): Channels c of a word.
        num_heads (int): Number of attention heads.
        hidden (int): Hidden channels h of the feed-forward network.
        eps (float): Constant that the norms add to the variance.
        words (int): Words m of a patch.
        has_scales (bool): Whether residual branches are scaled.
        dtype (torch.dtype): Type of the factors of the matmuls.
        rows (int): Words R of a program.

    Returns:
        dict: The values by the names of the kernels' arguments.
    """
    precision = 'ieee'
    if dtype == torch.float32 and not torch.version.hip:
        # Three products of tf32 have the precision of float32 on tensor cores.
        precision = 'tf32' if torch.backends.cuda.matmul.allow_tf32 else 'tf32x3'
    return dict(
        C=channels,
        HEADS=num_heads,
        HIDDEN=hidden,
        WORDS=words,
        EPS=eps,
        HAS_SCALES=has_scales,
        ROWS=rows,
        C_PAD=max(MIN_SIDE, triton.next_power_of_2(channels)),
        HEAD_PAD=max(MIN_SIDE, triton.next_power_of_2(channels // num_heads)),
        STEP=HIDDEN_STEP,
        DTYPE=DTYPES[dtype],
        INTERPRET=IS_INTERPRETED,
        PRECISION=precision,
    )


@torch.library.custom_op('mmvlfusion::tnt_inner_block', mutates_args=())
def inner_block(
    x: torch.Tensor,
    packed: torch.Tensor,
    scales: Optional[torch.Tensor],
    num_heads: int,
    hidden: int,
    eps: float,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Run a transformer block on the words of each patch.

    Args:
        x (torch.Tensor): Words, (P, m, c).
        packed (torch.Tensor): All parameters, in the order of the module's docstring.
        scales (torch.Tensor, optional): Factors of the two residual branches
            for each patch, (2, P).
        num_heads (int): Number of attention heads.
        hidden (int): Hidden channels h of the feed-forward network.
        eps (float): Constant that the norms add to the variance.
        dtype (torch.dtype): Type to which the factors of matmuls are rounded.
            Everything else is computed in float32.

    Returns:
        torch.Tensor: Shape and type of ``x``.
    """
    x = x.contiguous()
    out = torch.empty_like(x)
    num_patches, words, channels = x.shape
    num_rows = num_patches * words
    if not num_rows:
        return out
    with torch.cuda.device_of(x):
        _forward_kernel[(triton.cdiv(num_rows, FORWARD_ROWS[dtype]),)](
            x,
            packed,
            scales if scales is not None else x,
            out,
            num_rows,
            num_warps=NUM_WARPS,
            **constants(
                channels,
                num_heads,
                hidden,
                eps,
                words,
                scales is not None,
                dtype,
                FORWARD_ROWS[dtype],
            ),
        )
    return out


@inner_block.register_fake
def _(x, packed, scales, num_heads, hidden, eps, dtype):
    return x.new_empty(x.shape)


@torch.library.custom_op('mmvlfusion::tnt_inner_block_backward', mutates_args=())
def inner_block_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    packed: torch.Tensor,
    scales: Optional[torch.Tensor],
    num_heads: int,
    hidden: int,
    eps: float,
    dtype: torch.dtype,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Compute the gradients of ``inner_block``.

    Args:
        grad (torch.Tensor): Gradient of the output, (P, m, c).
        x, packed, scales, num_heads, hidden, eps, dtype: See ``inner_block``.

    Returns:
        tuple[torch.Tensor, torch.Tensor]: Gradients of ``x`` and ``packed``.
    """
    x, grad = x.contiguous(), grad.contiguous()
    grad_x = torch.empty_like(x)
    num_patches, words, channels = x.shape
    num_rows = num_patches * words
    if not num_rows:
        return grad_x, torch.zeros_like(packed)
    programs = min(_num_programs(x.device), triton.cdiv(num_rows, BACKWARD_ROWS[dtype]))
    sums = x.new_zeros(programs, packed.numel(), dtype=torch.float32)
    with torch.cuda.device_of(x):
        _backward_kernel[(programs,)](
            grad,
            x,
            packed,
            scales if scales is not None else x,
            grad_x,
            sums,
            num_rows,
            packed.numel(),
            num_warps=NUM_WARPS,
            # A read of sums must not move before the write that it follows.
            num_stages=1,
            **constants(
                channels,
                num_heads,
                hidden,
                eps,
                words,
                scales is not None,
                dtype,
                BACKWARD_ROWS[dtype],
            ),
        )
    return grad_x, sums.sum(dim=0).to(packed.dtype)


@inner_block_backward.register_fake
def _(grad, x, packed, scales, num_heads, hidden, eps, dtype):
    return x.new_empty(x.shape), packed.new_empty(packed.shape)


def _num_programs(device: torch.device) -> int:
    if device.type != 'cuda':
        return PROGRAMS_WITHOUT_GPU
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return PROGRAMS_PER_PROCESSOR * processors


def _save(ctx, inputs, output) -> None:
    x, packed, scales, *ctx.settings = inputs
    ctx.save_for_backward(x, packed, scales)


def _backward(ctx, grad):
    x, packed, scales = ctx.saved_tensors
    grads = inner_block_backward(grad, x, packed, scales, *ctx.settings)
    return *grads, None, None, None, None, None


inner_block.register_autograd(_backward, setup_context=_save)
