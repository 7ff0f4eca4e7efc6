"""A device that this machine does not have, imitated: its tensors hold their data on the CPU, and meet no others.

As on CUDA, the operands of an operator are on one device, but for numbers (of no dimension) and indices. It goes by the
name of ``meta``, which torch knows everywhere and which has no kernels of its own.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHER = torch.device("meta")


class OtherTensor(torch.Tensor):
    """A tensor on the other device; ``data_here`` is what it holds."""

    data_here: torch.Tensor

    @staticmethod
    def __new__(cls, data_here: torch.Tensor) -> OtherTensor:
        found = torch.Tensor._make_wrapper_subclass(
            cls,
            data_here.size(),
            strides=data_here.stride(),
            storage_offset=data_here.storage_offset(),
            dtype=data_here.dtype,
            device=OTHER,
        )
        found.data_here = data_here
        return found

    def tolist(self) -> Any:
        return self.data_here.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert a tensor of the other device to numpy")

    def __setitem__(self, index: Any, value: Any) -> None:  # torch would take a list for indices without data
        super().__setitem__(torch.tensor(index) if isinstance(index, list) else index, value)

    def __getitem__(self, index: Any) -> torch.Tensor:
        parts = index if isinstance(index, tuple) else (index,)
        return super().__getitem__(tuple(torch.tensor(one) if isinstance(one, list) else one for one in parts))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Operators that have no tensor among their arguments, such as zeros."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextlib.contextmanager
def other_device() -> Iterator[torch.device]:
    """Have the device, within which all that is on it must happen."""
    made = torch.tensor, torch.as_tensor
    torch.tensor, torch.as_tensor = (_with_data(make) for make in made)
    try:
        with _Mode():
            yield OTHER
    finally:
        torch.tensor, torch.as_tensor = made


def _with_data(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function that makes tensors of data, which torch does not put on a device of this name."""

    def made(data: Any, *, device: Any = None, **options: Any) -> torch.Tensor:
        tensor = make(data, **options)
        return tensor if device is None else tensor.to(device)

    return made


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func.overloadpacket._qualified_op_name.removeprefix("aten::")
    operands, _ = tree_flatten((args, kwargs))
    others = [one for one in operands if isinstance(one, OtherTensor)]
    device = kwargs.get("device")
    if others and name not in ("_to_copy", "copy_"):
        here = [one for one in operands if isinstance(one, torch.Tensor) and not isinstance(one, OtherTensor)]
        indices = list(args[1]) if name in ("index", "index_put", "index_put_") else []
        if mixed := [one for one in here if one.ndim and not any(one is index for index in indices)]:
            shapes = [tuple(one.shape) for one in others], [tuple(one.shape) for one in mixed]
            raise RuntimeError(
                f"{name} has operands on two devices, of shapes {shapes[0]} and, on the CPU, {shapes[1]}"
            )
        if indices and not isinstance(args[0], OtherTensor):
            raise RuntimeError(f"{name} of a tensor on the CPU has indices on the other device")
    is_other = bool(others) if device is None else torch.device(device) == OTHER
    if is_other and name == "_local_scalar_dense":
        is_other = False
    found = func(*tree_map(_here, args), **tree_map(_here, kwargs | ({} if device is None else {"device": "cpu"})))
    if not is_other or not others:
        return tree_map(_there, found) if is_other else found
    if name == "copy_":
        return args[0]
    return return_and_correct_aliasing(func, args, kwargs, tree_map(_there, found))


def _here(value: Any) -> Any:
    return value.data_here if isinstance(value, OtherTensor) else value


def _there(value: Any) -> Any:
    return OtherTensor(value) if type(value) is torch.Tensor else value
