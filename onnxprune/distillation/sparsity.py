"""Sparsity in training: what makes whole channels small, so that to remove them costs less afterwards.

    group-lasso   shrinks all coupled sites, small channels most
    greg          a penalty that grows on the channels chosen at the start
    greg-2        one that grows on all, until the channels are chosen that withstood it least
    sfp           sets filters to zero after each epoch, and lets them come back
    slimming      pulls the scales of BatchNormalization to zero

The model stays dense: channels are removed by `prune`. Penalties are functions of the weights alone, computed
in float32 once a step, so neither mixed precision nor several processes change them.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from onnxprune.converters import OnnxModule
from onnxprune.distillation.options import DistillOptions
from onnxprune.distillation.sites import Sites, lowest, producers, scales, sites_of, trained_members
from onnxprune.errors import UnsupportedError
from onnxprune.groups import Groups

State = dict[str, Any]
STEEPNESS = 4  # of group lasso: the smallest channel of a group is pulled 2^4 times as hard as the largest
GROWN_AT = 2 / 3  # of the run: when growing penalties reach their ceiling, where no growth is given
PICKING = 0.1  # growth of greg-2 before it picks, as a share of the growth after that
PICK_AT = 0.01  # of the ceiling: the penalty on all channels at which greg-2 picks


class Sparsity:
    """What the training loop calls, with the module in training; what a method leaves out does nothing."""

    def penalty(self, module: nn.Module) -> Tensor:
        """A scalar that is added to the loss, once a step."""
        return next(module.parameters()).new_zeros(())

    def after_step(self, module: nn.Module) -> None:
        """After the optimizer's step; may change the module and its own state, in place."""

    def after_epoch(self, module: nn.Module, *, last: bool) -> None:
        """Before the module is judged, in place; `last` when no other epoch follows."""

    def state_dict(self) -> State:
        """What a checkpoint has to keep: tensors and numbers."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Continue from there, in place."""


class GroupLasso(Sparsity):
    """1/2 reg sum_k 2^(4 (I_max - I_k) / (I_max - I_min)) ||w_k||^2, w_k all coupled sites of channel k.

    I_k = ||w_k||; I_max and I_min are those of the group. The factor counts as a constant in the gradient.

    Reference: DepGraph (arXiv 2301.12900), equation 4 and section 3.4.
    """

    def __init__(self, sites: Sites, strength: float) -> None:
        self.sites, self.strength = sites, strength

    def penalty(self, module: nn.Module) -> Tensor:
        squares = self.sites.sums(module, torch.square)  # (channels,)
        return self.strength / 2 * (self.factors(squares.detach()) * squares).sum()

    def factors(self, squares: Tensor) -> Tensor:
        """(channels,) from 1 for the largest channel of its group to 2^4 for the smallest."""
        norms, group = squares.sqrt(), self.sites.group
        empty = norms.new_zeros(len(self.sites.names))
        most, least = (
            empty.scatter_reduce(0, group, norms, reduce, include_self=False)[group]
            for reduce in ("amax", "amin")
        )
        return 2 ** (STEEPNESS * (most - norms) / (most - least).clamp(min=1e-12))


class GrowingPenalty(Sparsity):
    """1/2 sum_k r_k ||w_k||^2 over all coupled sites, where r_k grows on the chosen channels up to a ceiling.

    Chosen are in each group the channels of the lowest l1 norm of their filters: at the start (GReg-1), or
    after the penalty has grown slowly on all of them (GReg-2), which then ends for those that stay.

    Reference: Neural Pruning via Growing Regularization (arXiv 2012.09243), algorithms 1 and 2.

    Args:
        sites: All coupled ones.
        filters: Those of the producers, whose l1 norm chooses.
        keep: Keep ratio of each group.
        growth: Of the penalty, at a time.
        every: Steps between two growths.
        ceiling: Of the penalty.
    """

    def __init__(
        self, sites: Sites, filters: Sites, *, keep: float, growth: float, every: int, ceiling: float
    ) -> None:
        self.sites, self.filters, self.keep = sites, filters, keep
        self.growth, self.every, self.ceiling = growth, every, ceiling
        self.steps = 0
        self.chosen: Tensor | None = None  # bool (channels,)
        self.factors = torch.zeros(len(sites), device=sites.group.device)

    def penalty(self, module: nn.Module) -> Tensor:
        return (self.factors * self.sites.sums(module, torch.square)).sum() / 2

    def pick(self, module: nn.Module) -> None:
        """Choose now, in place; the penalty of the others ends."""
        norms = self.filters.sums(module, lambda weight: weight.detach().cpu().double().abs())
        self.chosen = lowest(norms, self.sites.group, self.keep).to(self.factors.device)
        self.factors = self.factors * self.chosen

    def after_step(self, module: nn.Module) -> None:
        self.steps += 1
        if self.steps % self.every:
            return
        if self.chosen is None:
            self.factors = self.factors + PICKING * self.growth
            if float(self.factors[0]) >= PICK_AT * self.ceiling:
                self.pick(module)
        else:
            self.factors = (self.factors + self.growth * self.chosen).clamp(max=self.ceiling)

    def state_dict(self) -> State:
        return {"steps": self.steps, "chosen": self.chosen, "factors": self.factors}

    def load_state_dict(self, state: State) -> None:
        self.steps, self.chosen, self.factors = state["steps"], state["chosen"], state["factors"]


class SoftPruning(Sparsity):
    """After each epoch the filters of the lowest l2 norm in each group become zero and stay in training.

    After the last epoch all coupled sites of these channels do, so that removing them changes nothing. Behind
    BatchNormalization in train mode a filter that starts from zero moves in large steps (its variance is 0);
    frozen statistics or a limit on the gradients' norm keep them small.

    Reference: Soft Filter Pruning (IJCAI 2018), algorithm 1.
    """

    def __init__(self, sites: Sites, filters: Sites, keep: float) -> None:
        self.sites, self.filters, self.keep = sites, filters, keep

    def after_epoch(self, module: nn.Module, *, last: bool) -> None:
        squares = self.filters.sums(module, lambda weight: weight.detach().cpu().double().square())
        chosen = lowest(squares, self.sites.group, self.keep)
        (self.sites if last else self.filters).erase(module, chosen)


class Slimming(Sparsity):
    """strength * sum |scale| over the BatchNormalizations that prunable channels run through.

    Reference: Learning Efficient Convolutional Networks through Network Slimming (ICCV 2017), equation 1.
    """

    def __init__(self, sites: Sites, strength: float) -> None:
        self.sites, self.strength = sites, strength

    def penalty(self, module: nn.Module) -> Tensor:
        return self.strength * self.sites.sums(module, torch.abs).sum()


def make_sparsity(groups: Groups, module: OnnxModule, options: DistillOptions, *, steps: int) -> Sparsity:
    """What the options ask for.

    Args:
        groups: Of the model that the module was made of.
        module: As it enters training.
        options: With a `sparsity` that is not none.
        steps: Of the optimizer in the whole run.

    Raises:
        UnsupportedError: E402, no channel may be removed; E403, no BatchNormalization for slimming.
    """
    members = trained_members(groups, module)
    device = next(module.parameters()).device
    sites = partial(sites_of, groups, module)
    every = sites(members).to(device)
    if not every.axes:
        raise nothing_to_shrink(groups)
    if options.sparsity == "group-lasso":
        return GroupLasso(every, options.strength)
    if options.sparsity == "slimming":
        own = sites(lambda group: scales(groups.graph, members(group))).to(device)
        if not own.axes:
            raise no_scales(groups)
        return Slimming(own, options.strength)
    filters = sites(lambda group: producers(members(group)))
    if options.sparsity == "sfp":
        return SoftPruning(every, filters, options.sparsity_keep)
    growing = GrowingPenalty(
        every,
        filters,
        keep=options.sparsity_keep,
        growth=options.strength or growth_for(options, steps),
        every=options.sparsity_every,
        ceiling=options.sparsity_ceiling,
    )
    if options.sparsity == "greg":
        growing.pick(module)
    return growing


def growth_for(options: DistillOptions, steps: int) -> float:
    """The growth that reaches the ceiling after two thirds of the run, the time of picking included."""
    growths = max(1.0, GROWN_AT * steps / options.sparsity_every)
    picking = PICK_AT / PICKING if options.sparsity == "greg-2" else 0.0
    return (1 + picking) * options.sparsity_ceiling / growths


def nothing_to_shrink(groups: Groups) -> UnsupportedError:
    return UnsupportedError(
        "E402",
        f"{groups.graph.path.name} has no channels that could be removed, so there is nothing to make sparse",
        hint="`onnxprune inspect` tells why",
    )


def no_scales(groups: Groups) -> UnsupportedError:
    return UnsupportedError(
        "E403",
        f"--sparsity slimming needs BatchNormalization, and in {groups.graph.path.name} no prunable group "
        "runs through one",
        cause="exporters fold them into the convolutions before them",
        hint="use group-lasso, or export with training=PRESERVE, do_constant_folding=False",
    )
