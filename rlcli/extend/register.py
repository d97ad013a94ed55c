"""What a module of the user's calls to register its networks, algorithms and metrics.

An environment is registered with Gymnasium itself. Each name is new: none of rlcli's or of another module's
may be taken.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from rlcli.catalog import table as catalog
from rlcli.catalog.metric import Metric
from rlcli.config import extensions, groups
from rlcli.config.extensions import ADDITIONS, ROWS, Addition, Row
from rlcli.config.plain_yaml import read_yaml
from rlcli.config.schema.keys import KEYS
from rlcli.config.values import RejectedValue, convert, display
from rlcli.envs.user_code import place_of_definition
from rlcli.errors import UserError, unknown
from rlcli.extend import importing, tables
from rlcli.extend.settings import NAME, Setting, declared

Factory = TypeVar("Factory", bound=Callable[..., Any])
METRIC = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")
PARTS = ("surrogate", "targets", "penalty", "step_rule")


def register_network(
    name: str, factory: Callable[..., Any], doc: str = "", keys: Mapping[str, Setting] | None = None
) -> None:
    """Makes `network=NAME` a network of your own, with keys `network.NAME.KEY`.

    `factory(observation_space, action_space, outputs, **keys)` gives a `torch.nn.Module` whose forward takes
    observations [B, O] as the encoder has them and returns policy outputs [B, outputs] and values [B]. Images
    are bytes in these rows: `rlcli.take_apart`.

    Raises:
        UserError: the name is taken or not possible, or a key is not.
    """
    place = _place(factory)
    _check_name("network", name, place, _choices("network.name"))
    _check_parameters(place, factory, 3, keys or {})
    added = declared("network", place, keys or {})
    ROWS.setdefault("network", {})[name] = Row(doc or f"Network of {place}.", {"name": name})
    extensions.add(_addition("network", name, place, factory), added, ("network.name",))
    tables.NETWORKS[name] = tables.OwnNetwork(factory, place)
    importing.forget_compositions()


def register_algorithm(
    name: str,
    doc: str = "",
    *,
    base: str = "ppo",
    settings: Mapping[str, Any] | None = None,
    keys: Mapping[str, Setting] | None = None,
    surrogate: Callable[..., Any] | None = None,
    targets: Callable[..., Any] | None = None,
    penalty: Callable[..., Any] | None = None,
    step_rule: Callable[..., Any] | None = None,
) -> None:
    """Makes `algo=NAME` an algorithm of your own: the row `base`, with `settings` and functions in its place.

    `keys` become `algo.NAME.KEY`; a function reads them as `hyper.KEY`, [R, 1].
    - `surrogate(log_prob, log_anchor, advantages, hyper)` -> objective of each sample [R, B], ascended; its
      slope by log_prob is found automatically.
    - `targets(transitions, hyper)` -> advantages and value targets, each [T, R, N].
    - `penalty(log_prob, log_anchor, advantages, hyper)` -> what is subtracted from the surrogate, [R, B].
    - `step_rule(start)` -> `Improvement`, as rlcli/learner/algorithm.py declares them.
    All but the step rule are called for one run at a time, R = 1.

    Raises:
        UserError: a name is taken or not possible, there is no such base, or a setting is unknown.
    """
    given = dict(zip(PARTS, (surrogate, targets, penalty, step_rule), strict=True))
    functions = {part: function for part, function in given.items() if function is not None}
    place = _place(next(iter(functions.values()), None))
    taken = [choice for part in PARTS for choice in _choices(f"algo.{part}")]
    _check_name("algo", name, place, [*groups.choices("algo"), *taken])
    added = declared("algo", place, keys or {})
    content = _base(base, place) | _checked_settings(settings or {}, place)
    content |= {"name": name, **dict.fromkeys(functions, name)}
    addition = _addition("algo", name, place, *functions.values())
    ROWS.setdefault("algo", {})[name] = Row(doc or f"Algorithm of {place}.", content)
    extensions.add(addition, added, [f"algo.{part}" for part in functions])
    tables.ALGORITHMS[name] = tables.OwnAlgorithm(place, **functions)
    importing.forget_compositions()


def register_metric(
    name: str,
    figure: Callable[..., Any],
    doc: str,
    *,
    unit: str = "",
    formula: str = "",
    better: Literal["higher", "lower", "neither"] = "neither",
) -> None:
    """Adds a figure NAME (`group/name`) to each row of metrics.

    `figure(update)` is called for one run after each update with the fields of
    rlcli/learner/own_metrics.py::OneUpdate, and returns a number; NaN: none for this update.

    Raises:
        UserError: the name is taken or not possible.
    """
    place = _place(figure)
    if not METRIC.fullmatch(name):
        raise UserError(f"{place}: the metric {name!r} needs a name such as mine/kurtosis.")
    known = [] if ("metric", name) in ADDITIONS else list(catalog.METRICS)
    _check_taken("metric", name, place, known)
    addition = _addition("metric", name, place, figure)
    extensions.add(addition, {}, ())
    catalog.add(Metric(name, unit, formula, doc, better, f"{addition.module} ({place})"))
    tables.METRICS[name] = tables.OwnMetric(figure, addition.module, place)


def _choices(field: str) -> list[str]:
    """The choices of a key that are rlcli's own."""
    found = KEYS[field].declaration.choices or ()
    return [choice for choice in found if (field.partition(".")[0], choice) not in ADDITIONS]


def _check_name(section: str, name: Any, place: str, taken: list[str]) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            f"{place}: {section} {name!r} needs a name of lower-case letters, digits and underscores."
        )
    own = [choice for choice in taken if (section, choice) not in ADDITIONS]
    if f"{section}.{name}" in KEYS:
        own.append(name)
    _check_taken(section, name, place, own)


def _check_taken(section: str, name: str, place: str, own: list[str]) -> None:
    """Raises `UserError` where rlcli or another module has the name; a module may be imported again."""
    if name in own:
        raise UserError(f"{place}: {section} {name!r} is rlcli's own; choose another name.")
    other = ADDITIONS.get((section, name))
    if other is not None and other.place.rpartition(":")[0] != place.rpartition(":")[0]:
        raise UserError(f"{place}: {section} {name!r} is registered already, at {other.place}.")


def _check_parameters(
    place: str, factory: Callable[..., Any], positional: int, keys: Mapping[str, Setting]
) -> None:
    """Raises `UserError` where a factory does not take what it will be called with."""
    try:
        inspect.signature(factory).bind(*range(positional), **dict.fromkeys(keys))
    except TypeError as error:
        wanted = ", ".join(("observation_space", "action_space", "outputs", *keys))
        raise UserError(f"{place}: it is called with ({wanted}), and does not take that: {error}.") from None
    except ValueError:
        return


def _base(base: str, place: str) -> dict[str, Any]:
    """The settings of the row that an algorithm begins with."""
    files = groups.files("algo")
    if base in ROWS.get("algo", {}):
        return dict(ROWS["algo"][base].content)
    if base not in files:
        raise UserError(f"{place}: {unknown('algo', str(base), list(files), shown=24)}")
    _, content = read_yaml(files[base])
    assert isinstance(content, dict)
    return content


def _checked_settings(settings: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The settings as the schema holds them; raises one `UserError` for all that it does not admit."""
    known = [key.removeprefix("algo.") for key in KEYS if key.startswith("algo.") and key.count(".") == 1]
    found, faults = {}, []
    for name, value in settings.items():
        if name not in known:
            faults.append(f"{place}: {unknown('setting of algo', str(name), known)}")
            continue
        try:
            found[name] = convert(KEYS[f"algo.{name}"], value)
        except RejectedValue as error:
            faults.append(f"{place}: setting of algo {name}={display(value)}: {error}.")
    if faults:
        raise UserError(*faults)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _addition(section: str, name: str, place: str, *functions: Callable[..., Any]) -> Addition:
    module = importing.current() or str(getattr(functions[0], "__module__", "") if functions else "")
    files = (inspect.getsourcefile(inspect.unwrap(one)) for one in functions if _has_source(one))
    return Addition(section, name, module, place, tuple(dict.fromkeys(str(one) for one in files if one)))


def _has_source(function: Any) -> bool:
    try:
        return inspect.getsourcefile(inspect.unwrap(function)) is not None
    except TypeError:
        return False


def _place(function: Callable[..., Any] | None) -> str:
    """`file:line` of a function, or of the call that registers."""
    if function is not None:
        if not callable(function):
            raise UserError(f"{_caller()}: expected a function or class, not {function!r}.")
        found = place_of_definition(function)
        if found is not None:
            return found
    return _caller()


def _caller() -> str:
    frame = inspect.currentframe()
    while frame is not None and Path(frame.f_code.co_filename).parent == Path(__file__).parent:
        frame = frame.f_back
    return "?" if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
