"""Run directories made to do harm: each ends in one clear message, and nothing in them is executed.

`VERBS` are the commands that read a run directory; a new one is added there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from rlcli.runs.train import train
from rlcli.sweeps.plan import plan_search
from rlcli.sweeps.search import run_search
from tests.cli.conftest import Ended, Rlcli
from tests.runs.conftest import tiny
from tests.sweeps.conftest import SMALL

VERBS: dict[str, tuple[str, ...]] = {
    "eval": ("eval", "{run}", "--episodes", "1"),
    "show": ("show", "{run}"),
    "resume": ("resume", "{run}"),
    "show --json": ("show", "{run}", "--json"),
    "runs": ("runs", "{root}"),
    "diff": ("diff", "{run}", "{good}"),
    "diff from": ("diff", "{good}", "{run}"),
    "reproduce": ("reproduce", "{run}", "--until", "1"),
}
READS_CONFIG = {"eval", "show", "show --json", "diff", "diff from", "reproduce"}
BUILDS = {"eval", "reproduce", "resume"}
READS_DIGESTS = {"diff", "diff from", "reproduce"}
READS_MANIFEST = READS_CONFIG
REFUSED = (2, 4)

Harm = Callable[[Path], object]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("honest") / "run"
    train([tiny(name="good")], [run])
    return run


@pytest.fixture
def secret(workplace: Path) -> Path:
    """A file that no run directory may reach."""
    path = workplace / "secret"
    path.write_text('{"version": 2, "password": "hunter2"}')
    return path


@pytest.fixture
def attack(honest: Path, workplace: Path, secret: Path, rlcli: Rlcli) -> Callable[[Harm, str], Ended]:
    """Runs a verb on a copy of an honest run that was harmed; checks what holds for every ending."""

    def run(harm: Harm, verb: str) -> Ended:
        root = workplace / "stolen"
        hostile, good = root / "run", workplace / "good"
        shutil.copytree(honest, hostile)
        shutil.copytree(honest, good)
        harm(hostile)
        sign(hostile)
        before = contents(workplace)
        places = {"run": hostile, "root": root, "good": good}
        ended = rlcli(*(word.format(**places) for word in VERBS[verb]))
        assert "Traceback" not in ended.err
        assert "defect of rlcli" not in ended.err
        assert not list(workplace.rglob("pwned*")), "something in the directory was executed"
        assert contents(workplace) == before, "something outside of runs/ was written"
        for stream in (ended.out, ended.err):
            assert not set("\x1b\x07\x9b\x00\x08\r") & set(stream), "control characters reach the terminal"
            assert "hunter2" not in stream
        if ended.code in REFUSED:
            assert ended.err.startswith("Error: ")
            assert len(ended.err) < 4000
        return ended

    return run


def sign(run: Path) -> None:
    """Whoever changes a config can change the checksum the manifest has of it."""
    path = run / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        manifest["config_sha256"] = hashlib.sha256((run / "config.yaml").read_bytes()).hexdigest()
    except (OSError, ValueError, TypeError, RecursionError):
        return
    if not path.is_symlink():
        path.write_text(json.dumps(manifest))


def contents(folder: Path) -> dict[str, bytes]:
    """Every plain file below a folder, but for runs/, where new runs go."""
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.relative_to(folder).parts[0] != "runs"
        and "__pycache__" not in path.parts and path.stat().st_size < 2**22
    }  # fmt: skip


def every(verbs: set[str] | None = None) -> Any:
    return pytest.mark.parametrize("verb", sorted(verbs or VERBS))


# --- config.yaml


def line(key: str, value: str) -> Harm:
    """Replaces the first line of config.yaml with that key."""

    def harm(run: Path) -> None:
        path = run / "config.yaml"
        lines = path.read_text().splitlines()
        found = next(number for number, text in enumerate(lines) if text.strip().startswith(f"{key}:"))
        indent = lines[found][: len(lines[found]) - len(lines[found].lstrip())]
        lines[found] = f"{indent}{key}: {value}"
        path.write_text("\n".join(lines) + "\n")

    return harm


def writes(file: str, content: str | bytes) -> Harm:
    """Replaces a file."""
    return lambda run: (run / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def appends(file: str, text: str) -> Harm:
    """Adds a line to a file."""
    return lambda run: (run / file).write_text((run / file).read_text() + text + "\n")


def config(text: str | bytes) -> Harm:
    return writes("config.yaml", text)


MALFORMED: dict[str, Harm] = {
    "object": config("!!python/object/apply:os.system ['touch pwned']"),
    "object as a value": line("notes", "!!python/object/apply:os.system ['touch pwned']"),
    "new object": line("kwargs", "{a: !!python/object/new:subprocess.Popen [[touch, pwned]]}"),
    "name": line("notes", "!!python/name:os.system"),
    "module": line("notes", "!!python/module:antigravity"),
    "own tag": line("notes", "!evil x"),
    "laughs": config("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
    "merge": config("base: &b {seed: 1}\n<<: *b\n"),
    "deep": config("[" * 20_000),
    "deep mapping": line("kwargs", "{a: " * 60 + "1" + "}" * 60),
    "many keys": config("".join(f"k{number}: 0\n" for number in range(20_000))),
    "large": config("# " + "x" * 2_000_000),
    "bytes": config(b"\xff\xfe\x00seed: 1"),
    "nothing": config(""),
    "a list": config("- 1\n"),
    "twice": config("seed: 1\nseed: 2\n"),
    "no names": config("1: 2\n? [a, b]\n: 3\n"),
    "unknown key": config("seed: 1\nsudo: rm\n"),
    "target": line("kwargs", "{}\n_target_: os.system"),
    "digits": line("seed", "9" * 5000),
    "not finite": line("gamma", ".nan"),
    "infinite": line("total_steps", ".inf"),
    "negative": line("seed", "-1"),
    "a date": line("kwargs", "{a: 2001-01-01}"),
    "gone": lambda run: (run / "config.yaml").unlink(),
    "a folder": lambda run: (run / "config.yaml").unlink() or (run / "config.yaml").mkdir(),
}  # fmt: skip


@every(READS_CONFIG)
@pytest.mark.parametrize("harm", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_config_that_is_no_config(harm: Harm, verb: str, attack: Any) -> None:
    assert attack(harm, verb).code in REFUSED


SIZES = {
    "hidden": "[1000000000, 1000000000]", "num_envs": "1000000000000", "rollout_steps": str(10**30),
    "lag": str(10**15), "threads": "1000000", "line_search_steps": str(10**12), "cg_iterations": str(10**12),
    "epochs": str(10**12), "episodes": str(10**12), "total_steps": str(10**40), "device": "cuda:99",
}  # fmt: skip


@every({"reproduce"})
@pytest.mark.parametrize(("key", "value"), SIZES.items(), ids=SIZES.keys())
def test_numbers_that_no_machine_can_hold(key: str, value: str, verb: str, attack: Any) -> None:
    assert attack(line(key, value), verb).code in REFUSED


@every({"eval"})
@pytest.mark.parametrize("key", ["hidden", "num_envs", "rollout_steps", "lag", "threads"])
def test_numbers_that_no_policy_can_have(key: str, verb: str, attack: Any) -> None:
    assert attack(line(key, SIZES[key]), verb).code in REFUSED


# --- modules named in a config


EVIL = "from pathlib import Path\nPath('pwned').touch()\n"


def names_module(place: str, env: str = "evil:Evil-v0", kwargs: str = "{}") -> Harm:
    """A module that leaves a trace when imported, in the current or the run directory."""

    def harm(run: Path) -> None:
        folder = {"here": Path.cwd(), "run": run}[place]
        (folder / "evil.py").write_text(EVIL)
        (folder / "a:b.py").write_text(EVIL)
        line("id", json.dumps(env))(run)
        line("kwargs", kwargs)(run)

    return harm


@pytest.fixture(autouse=True)
def modules_as_before() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("evil"):
            del sys.modules[name]


@every()
@pytest.mark.parametrize("place", ["here", "run"])
@pytest.mark.parametrize(
    ("env", "kwargs"),
    [
        ("evil:Evil-v0", "{}"),
        ("evil:CartPole-v1", "{}"),
        ("a:b:CartPole-v1", "{}"),
        (":evil:CartPole-v1", "{}"),
        ("antigravity:CartPole-v1", "{}"),
        ("CartPole-v1", "{env_id: 'evil:Evil-v0'}"),
        ("CartPole-v1", "{wrappers: [{entry_point: 'evil:Wrapper'}]}"),
    ],
)
def test_a_module_is_not_imported_because_a_directory_names_it(
    place: str, env: str, kwargs: str, verb: str, attack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    ended = attack(names_module(place, env, kwargs), verb)
    if verb in BUILDS:
        assert ended.code == 2
        assert "none is imported because a run directory says so" in ended.err
    assert not {"evil", "a:b", "antigravity"} & set(sys.modules)


def test_a_module_in_the_run_directory_is_not_imported_even_if_asked_for(
    attack: Any, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stands in the directory, and trusts the name, gets the message nevertheless."""

    def harm(run: Path) -> None:
        names_module("run")(run)
        monkeypatch.chdir(run)

    monkeypatch.setenv("RLCLI_IMPORT", "other,evil")
    ended = attack(harm, "eval")
    assert ended.code == 2
    assert "which lies in it" in ended.err


def test_a_module_that_is_asked_for_is_imported(rlcli: Rlcli, workplace: Path, honest: Path) -> None:
    shutil.copytree(honest, workplace / "mine")
    (workplace / "evil.py").write_text(
        "import gymnasium\nfrom gymnasium.envs.classic_control import CartPoleEnv\n"
        "gymnasium.register('Mine-v0', CartPoleEnv, max_episode_steps=500)\n"
    )
    line("id", "evil:Mine-v0")(workplace / "mine")
    ended = rlcli("eval", "mine", "--episodes", "1")
    assert ended.code == 2
    assert "--import evil, or RLCLI_IMPORT=evil" in ended.err
    assert rlcli("eval", "mine", "--episodes", "1", "--import", "evil").code == 0


def test_the_advice_repeats_no_more_than_names(attack: Any) -> None:
    ended = attack(line("id", json.dumps("$(touch pwned):CartPole-v1")), "eval")
    assert "--import" not in ended.err


KWARGS = [
    "{entry_point: 'os:system'}", "{vector_entry_point: x}", "{render_mode: human}",
    "{id: CartPole-v1}",
          "{spec: {}}", "{max_episode_steps: -1}", "{max_episode_steps: x}", "{sutton_barto_reward: {}}",
          "{apply_step_limit: 1}", "{additional_wrappers: [x]}", "{'': 1}", "{self: 1}",
]  # fmt: skip


@every(BUILDS)
@pytest.mark.parametrize("kwargs", KWARGS)
def test_arguments_of_an_environment_are_no_code(kwargs: str, verb: str, attack: Any) -> None:
    assert attack(line("kwargs", kwargs), verb).code in (*REFUSED, 0, 1)


# --- manifest.json


def manifest(**changes: Any) -> Harm:
    def harm(run: Path) -> None:
        content = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(json.dumps(content | changes))

    return harm


BROKEN: dict[str, Harm] = {
    "deep": writes("manifest.json", b"[" * 100_000),
    "deep objects": writes("manifest.json", b'{"a":' * 900 + b"1" + b"}" * 900),
    "deep field": manifest(tags=json.loads("[" * 40 + "]" * 40)),
    "digits": writes("manifest.json", b'{"version": ' + b"9" * 5000 + b"}"),
    "bytes": writes("manifest.json", b"\xff\xfe"),
    "nothing": writes("manifest.json", b""),
    "a list": writes("manifest.json", b"[1, 2]"),
    "a number": writes("manifest.json", b"NaN"),
    "large": writes("manifest.json", b'{"a": "' + b"x" * 17 * 2**20 + b'"}'),
    "newer": manifest(version=99),
    "steps": manifest(env_steps=10**400),
    "nan": manifest(eval_return_mean=float("nan")),
    "too large": manifest(eval_return_mean=10**4000),
    "types": manifest(packages=["x"], machine=3, tags="abc"),
    "diff elsewhere": manifest(code={"commit": None, "dirty": True, "diff": "../../secret"}),
    "an option": manifest(code={"commit": "--exec=touch pwned", "dirty": False, "diff": None}),
    "link": lambda run: relink(run / "manifest.json", "../../secret"),
}  # fmt: skip


@every()
@pytest.mark.parametrize("harm", BROKEN.values(), ids=BROKEN.keys())
def test_a_manifest_that_is_none(harm: Harm, verb: str, attack: Any) -> None:
    ended = attack(harm, verb)
    if verb == "runs":
        assert ended.code == 0
        assert "damaged" in ended.out
    else:
        assert ended.code in REFUSED


STEERING = "x\x1b[2J\x1b]0;owned\x07\x9b31m\r\u202e\u2028"


@every()
def test_nothing_steers_the_terminal(verb: str, attack: Any) -> None:
    def harm(run: Path) -> None:
        names = ("id", "name", "algo", "env", "backend", "sweep", "started", "notes", "message")
        texts = dict.fromkeys(names, STEERING)
        manifest(**texts, tags=[STEERING], overrides=[STEERING], packages={STEERING: STEERING},
                 machine={STEERING: STEERING}, status="failed")(run)  # fmt: skip
        line("notes", json.dumps(STEERING))(run)
        line("id", json.dumps(f"CartPole-v1{STEERING}"))(run)
        writes("digests.txt", f"{STEERING}\n1 2 3\n")(run)
        appends("metrics.jsonl", json.dumps({STEERING: 1.0, "update": 3}))(run)

    assert attack(harm, verb).code in (0, 1, *REFUSED)


@every()
def test_the_name_of_a_folder_does_not_either(verb: str, attack: Any, workplace: Path) -> None:
    def harm(run: Path) -> None:
        run.rename(run.with_name(f"run{STEERING}"))
        shutil.copytree(run.with_name(f"run{STEERING}"), run)

    assert attack(harm, verb).code in (0, 1)


# --- checkpoints


def index(**changes: Any) -> Harm:
    def harm(run: Path) -> None:
        path = run / "checkpoints" / "index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def checkpoint(content: bytes | Callable[[dict[str, torch.Tensor]], bytes]) -> Harm:
    """The last checkpoint replaced, with a checksum that fits."""

    def harm(run: Path) -> None:
        path = run / "checkpoints" / "3.safetensors"
        made = content if isinstance(content, bytes) else content(load_file(path))
        path.write_bytes(made)
        kept = json.loads((run / "checkpoints" / "index.json").read_text())["kept"]
        kept["3"] |= {"bytes": len(made), "sha256": hashlib.sha256(made).hexdigest()}
        index(kept=kept)(run)

    return harm


def header(text: str, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if size is None else size) + text.encode() + b"\0" * 64


ABOUT = {"rlcli": json.dumps({"version": 1, "update": 3, "env_steps": 96})}


def tensors(change: Callable[[dict[str, torch.Tensor]], Any], about: dict[str, str] | None = None) -> Harm:
    def content(found: dict[str, torch.Tensor]) -> bytes:
        change(found)
        return save(found, metadata=ABOUT if about is None else about)

    return checkpoint(content)


def entry(shape: Any, dtype: str = "F32", offsets: Any = (0, 64)) -> str:
    return json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}, "__metadata__": ABOUT})


PARAMETERS = "train.policy.parameters"
FORGED: dict[str, Harm] = {
    "no header": checkpoint(b""),
    "short": checkpoint(b"\1\2\3"),
    "endless header": checkpoint(header("{}", 2**63)),
    "header beyond the file": checkpoint(header("{}", 10_000)),
    "no json": checkpoint(header("x" * 30)),
    "deep json": checkpoint(header("[" * 50_000)),
    "huge shape": checkpoint(header(entry([2**60, 2**60]))),
    "huge side": checkpoint(header(entry([2**63]))),
    "negative side": checkpoint(header(entry([-1]))),
    "nan side": checkpoint(header(entry([float("nan")]))),
    "text side": checkpoint(header(entry(["16"]))),
    "no such type": checkpoint(header(entry([16], "EVIL"))),
    "offsets beyond": checkpoint(header(entry([16], offsets=(0, 2**40)))),
    "offsets backwards": checkpoint(header(entry([16], offsets=(64, 0)))),
    "pickle": checkpoint(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR."),
    "deep metadata": tensors(lambda found: None, {"rlcli": "[" * 100_000}),
    "no metadata": tensors(lambda found: None, {}),
    "metadata that is none": tensors(lambda found: None, {"rlcli": "[1]"}),
    "another version": tensors(lambda found: None, {"rlcli": json.dumps({"version": 9, "update": 3})}),
    "another update": tensors(lambda found: None, {"rlcli": json.dumps({"version": 1, "update": 4})}),
    "half floats": tensors(lambda found: found.update({PARAMETERS: found[PARAMETERS].bfloat16()})),
    "a longer one": tensors(lambda found: found.update({PARAMETERS: torch.zeros(10_000)})),
    "without": tensors(lambda found: found.pop(PARAMETERS)),
    "collector of half floats": tensors(
        lambda found: found.update({"collector.returns": found["collector.returns"].bfloat16()})
    ),
    "collector of another size": tensors(
        lambda found: found.update({"collector.lengths": torch.zeros(7, dtype=torch.int64)})
    ),
    "history without a time": tensors(lambda found: found.update({"collector.history": torch.tensor(3)})),
    "not numbers": tensors(lambda found: found[PARAMETERS].fill_(float("nan"))),
    "not finite": tensors(lambda found: found["train.policy.moments.mean"].fill_(float("inf"))),
    "index beyond": index(last=10**6),
    "index outside": index(kept={"../../../secret": {"number": 1, "env_steps": 1, "bytes": 1, "sha256": ""}}),
    "index of negatives": index(kept={"3": {"number": -1, "env_steps": 1, "bytes": 1, "sha256": ""}}),
    "index of another kind": index(kept=[1, 2]),
    "index of another version": index(version=7),
    "index of text": index(last="3"),
    "a link": lambda run: relink(run / "checkpoints" / "3.safetensors", "../../../secret"),
    "a linked folder": lambda run: shutil.move(run / "checkpoints", run.parent / "there")
    and (run / "checkpoints").symlink_to("../there"),
    "a pipe": lambda run: (run / "checkpoints" / "3.safetensors").unlink()
    or os.mkfifo(run / "checkpoints" / "3.safetensors"),
}  # fmt: skip


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


@every({"eval"})
@pytest.mark.parametrize("harm", FORGED.values(), ids=FORGED.keys())
def test_a_checkpoint_that_is_none(harm: Harm, verb: str, attack: Any) -> None:
    assert attack(harm, verb).code in REFUSED


# --- digests.txt, metrics.jsonl, code.diff


DIGESTS: dict[str, Harm] = {
    "bytes": writes("digests.txt", b"\xff\xfe\n\x00\n"),
    "an endless line": writes("digests.txt", b"# rlcli digests 2: " + b"x" * 10**7),
    "a newer version": writes("digests.txt", "# rlcli digests 9: x\n"),
    "an older version": writes("digests.txt", f"1 {'a' * 32}\n"),
    "no line": appends("digests.txt", "evil"),
    "a link": lambda run: relink(run / "digests.txt", "../../secret"),
    "a device": lambda run: relink(run / "digests.txt", "/dev/zero"),
}  # fmt: skip


@every(READS_DIGESTS)
@pytest.mark.parametrize("harm", DIGESTS.values(), ids=DIGESTS.keys())
def test_digests_that_are_none(harm: Harm, verb: str, attack: Any) -> None:
    assert attack(harm, verb).code in (1, *REFUSED)


def figures(**values: Any) -> Harm:
    return appends("metrics.jsonl", json.dumps({"update": 4, **values}))


ROWS: dict[str, Harm] = {
    "text": figures(**{"behaviour/ess": "evil", "time/steps_per_second": {"a": 1}}),
    "huge": figures(**{"behaviour/ess": 10**400, "update": 10**4000}),
    "not finite": figures(**{"behaviour/ess": float("inf"), "train/return_100": float("nan")}),
    "deep": writes("metrics.jsonl", "[" * 10**6 + "\n"),
    "bytes": writes("metrics.jsonl", b"\xff\xfe{}\n"),
}  # fmt: skip
NO_ROWS: dict[str, Harm] = {
    "a link": lambda run: relink(run / "metrics.jsonl", "../../secret"),
    "a device": lambda run: relink(run / "metrics.jsonl", "/dev/zero"),
    "a pipe": lambda run: (run / "metrics.jsonl").unlink() or os.mkfifo(run / "metrics.jsonl"),
}


@every()
@pytest.mark.parametrize("harm", ROWS.values(), ids=ROWS.keys())
def test_figures_that_are_none(harm: Harm, verb: str, attack: Any) -> None:
    assert attack(harm, verb).code == 0


@every({"show", "diff"})
@pytest.mark.parametrize("harm", NO_ROWS.values(), ids=NO_ROWS.keys())
def test_rows_that_lead_elsewhere(harm: Harm, verb: str, attack: Any) -> None:
    assert attack(harm, verb).code == 4


@every()
def test_changes_of_code_that_lead_elsewhere(verb: str, attack: Any) -> None:
    def harm(run: Path) -> None:
        manifest(code={"commit": "a" * 40, "dirty": True, "diff": "code.diff"})(run)
        (run / "code.diff").unlink(missing_ok=True)
        (run / "code.diff").symlink_to("../../secret")

    ended = attack(harm, verb)
    assert (ended.code == 4) == (verb in READS_DIGESTS | {"resume"})
    assert not (Path.cwd() / "runs").exists(), "nothing was trained"


@every()
@pytest.mark.parametrize("file", ["config.yaml", "digests.txt", "metrics.jsonl", "train.log"])
def test_a_link_out_of_the_directory(file: str, verb: str, attack: Any) -> None:
    attack(lambda run: relink(run / file, "../../secret"), verb)


def test_files_beside_a_run_do_not_pass_for_libraries(honest: Path, workplace: Path) -> None:
    for library in ("typer", "yaml", "torch", "safetensors", "colorsys"):
        (workplace / f"{library}.py").write_text(EVIL)
    for words in (("show", str(honest)), ("eval", str(honest), "--episodes", "1")):
        done = subprocess.run([sys.executable, "-m", "rlcli", *words], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert not (workplace / "pwned").exists()


# --- sweeps


SWEEPS: dict[str, tuple[str, ...]] = {
    "show": ("show", "{sweep}"),
    "show --json": ("show", "{sweep}", "--json"),
    "resume": ("resume", "{sweep}"),
    "resume --retry": ("resume", "{sweep}", "--retry"),
    "runs": ("runs", "{sweep}"),
    "sweep status": ("sweep", "status", "{sweep}"),
    "sweep status --json": ("sweep", "status", "{sweep}", "--json"),
    "sweep best": ("sweep", "best", "{sweep}"),
    "sweep best --json": ("sweep", "best", "{sweep}", "--json"),
}
SEARCHES = SWEEPS.keys() - {"runs", "show", "show --json"}
"""Those that read what a sampler left."""


def job(**changes: Any) -> Harm:
    """The record of a sweep whose first job is changed."""
    about = {
        "name": "run",
        "overrides": [],
        "varied": [],
        "status": "waiting",
        "exit_code": None,
        "message": None,
    }

    def harm(sweep: Path) -> None:
        record = {"version": 2, "overrides": [], "started": "", "jobs": [about | changes]}
        (sweep / "sweep.json").write_text(json.dumps(record))

    return harm


def and_waiting(harm: Harm) -> Harm:
    """A job that was not begun, its config harmed."""

    def both(sweep: Path) -> None:
        job()(sweep)
        (sweep / "run" / "manifest.json").unlink()
        harm(sweep / "run")

    return both


NO_SWEEPS: dict[str, Harm] = {
    "a job above": job(name=".."),
    "a job elsewhere": job(name="../../secret"),
    "a job of an absolute path": job(name="/etc"),
    "a job that is a link": lambda sweep: job(name="link")(sweep) or (sweep / "link").symlink_to("../good"),
    "a job that is none": job(name="none"),
    "a job twice": lambda sweep: (sweep / "sweep.json").write_text(
        json.dumps({"version": 2, "overrides": [], "started": "", "jobs": [{"name": "run"}] * 2})
    ),
    "deep": writes("sweep.json", b"[" * 100_000),
    "digits": writes("sweep.json", b'{"version": ' + b"9" * 5000 + b"}"),
    "a link": lambda sweep: (sweep / "sweep.json").symlink_to("../secret"),
    "types": job(message=[STEERING], overrides=3),
}  # fmt: skip
NOT_BEGUN: dict[str, Harm] = {
    "a module": and_waiting(names_module("run")),
    "another module": and_waiting(names_module("here")),
    "too large": and_waiting(line("hidden", "[1000000, 1000000]")),
    "no config": and_waiting(writes("config.yaml", "x")),
    "a config elsewhere": and_waiting(lambda run: relink(run / "config.yaml", "../../secret")),
    "no such environment": and_waiting(line("id", "Nothing-v0")),
}


def harmed(sweep: Path, harm: Harm, verb: str, workplace: Path, rlcli: Rlcli) -> Ended:
    """How a verb ends on a harmful sweep; whichever way, nothing of it is executed and no secret told."""
    harm(sweep)
    before = contents(workplace)
    ended = rlcli(*(word.format(sweep=sweep) for word in SWEEPS[verb]))
    assert "Traceback" not in ended.err
    assert "defect of rlcli" not in ended.err
    assert not list(workplace.rglob("pwned*")), "something in the directory was executed"
    if ended.code in REFUSED:
        assert contents(workplace) == before, "something was written"
        assert ended.err.startswith("Error: ")
        assert len(ended.err) < 4000
    for stream in (ended.out, ended.err):
        assert not set("\x1b\x07\x9b\x00\x08\r") & set(stream), "control characters reach the terminal"
        assert "hunter2" not in stream
    return ended


@pytest.fixture
def attack_sweep(honest: Path, workplace: Path, secret: Path, rlcli: Rlcli) -> Callable[[Harm, str], Ended]:
    """As `attack`, of a sweep with one job."""

    def run(harm: Harm, verb: str) -> Ended:
        sweep = workplace / "stolen"
        shutil.copytree(honest, sweep / "run")
        shutil.copytree(honest, workplace / "good")
        return harmed(sweep, harm, verb, workplace, rlcli)

    return run


@pytest.mark.parametrize("verb", sorted(SWEEPS))
@pytest.mark.parametrize("harm", NO_SWEEPS.values(), ids=NO_SWEEPS.keys())
def test_a_sweep_that_is_none(harm: Harm, verb: str, attack_sweep: Any) -> None:
    assert attack_sweep(harm, verb).code in ((0,) if verb == "runs" else REFUSED)


@pytest.mark.parametrize("verb", ["resume", "resume --retry"])
@pytest.mark.parametrize("harm", NOT_BEGUN.values(), ids=NOT_BEGUN.keys())
def test_a_job_that_may_not_begin(harm: Harm, verb: str, attack_sweep: Any) -> None:
    assert attack_sweep(harm, verb).code in REFUSED
    assert not {"evil"} & set(sys.modules)


@pytest.mark.parametrize("verb", sorted(SWEEPS))
def test_nothing_of_a_sweep_steers_the_terminal(verb: str, attack_sweep: Any) -> None:
    def harm(sweep: Path) -> None:
        name = STEERING.replace("/", "")
        (sweep / "run").rename(sweep / name)
        job(name=name, status="failed", message=STEERING, varied=[STEERING])(sweep)
        (sweep / name / "manifest.json").unlink()

    attack_sweep(harm, verb)


# --- sweeps with a sampler


SEARCH = [*SMALL, "sweep.sampler=random", "sweep.trials=2", "algo.clip=interval(0.1,0.3)", "total_steps=16"]


@pytest.fixture(scope="module")
def honest_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two trials, which a resumed one would make three."""
    words = [*SEARCH, f"runs_dir={tmp_path_factory.mktemp('search')}", "name=search"]
    search = plan_search(words)
    assert search is not None
    done = run_search(search, words, quiet=True).dir
    goes_on(done)
    return done


def goes_on(sweep: Path) -> None:
    base("trials", "3")(sweep)
    base("parallel", "3")(sweep)


def recorded(text: str, instead: str) -> Harm:
    """Replaces one of the overrides in sweep.json."""

    def harm(sweep: Path) -> None:
        record = json.loads((sweep / "sweep.json").read_text())
        record["overrides"] = [instead if word == text else word for word in record["overrides"]]
        (sweep / "sweep.json").write_text(json.dumps(record))

    return harm


def base(key: str, value: str) -> Harm:
    """Replaces a line of base.yaml."""

    def harm(sweep: Path) -> None:
        lines = (sweep / "base.yaml").read_text().splitlines()
        place = next(number for number, text in enumerate(lines) if text.strip().startswith(f"{key}:"))
        lines[place] = lines[place].partition(":")[0] + f": {value}"
        (sweep / "base.yaml").write_text("\n".join(lines) + "\n")

    return harm


def both(*harms: Harm) -> Harm:
    return lambda sweep: [harm(sweep) for harm in harms]


def entry_of(**content: Any) -> Harm:
    return appends("study.log", json.dumps({"worker_id": "x", **content}))


def evil_env(sweep: Path) -> None:
    """A module in the current directory, named by the settings and by what was typed alike."""
    (Path.cwd() / "evil.py").write_text(EVIL)
    base("id", "'evil:Evil-v0'")(sweep)
    recorded("tuned=none", "env=evil:Evil-v0")(sweep)
    base("tuned", "none")(sweep)


STUDIES: dict[str, Harm] = {
    "no settings": lambda sweep: (sweep / "base.yaml").unlink(),
    "settings that are none": writes("base.yaml", "!!python/object/apply:os.system ['touch pwned']"),
    "settings elsewhere": lambda sweep: relink(sweep / "base.yaml", "../secret"),
    "no sampler": base("sampler", "none"),
    "no such objective": base("objective", "[evil]"),
    "other objectives": base("objective", "[time/elapsed]"),
    "no study": lambda sweep: (sweep / "study.log").unlink(),
    "a study elsewhere": lambda sweep: relink(sweep / "study.log", "../secret"),
    "a study that is a pipe": lambda sweep: (sweep / "study.log").unlink() or os.mkfifo(sweep / "study.log"),
    "a pickle": writes("study.log", b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.\n"),
    "deep": writes("study.log", b"[" * 100_000 + b"\n"),
    "a database": writes("study.log", b"SQLite format 3\0\n"),
    "no event": appends("study.log", "evil"),
    "unknown": entry_of(op_code=77),
    "no study begun": writes("study.log", b""),
    "gone": entry_of(op_code=1, study_id=0),
}  # fmt: skip
RECORDS: dict[str, Harm] = {
    "a target": recorded("tuned=none", "hydra.launcher._target_=os.system"),
    "another sampler": recorded("sweep.sampler=random", "sweep.sampler=tpe"),
    "no override": recorded("tuned=none", STEERING),
    "a module": evil_env,
    "configs elsewhere": lambda sweep: (sweep / "sweep.json").write_text(
        (sweep / "sweep.json").read_text().replace('"config_dir": null', '"config_dir": "/etc"')
    ),
    "another space": recorded("algo.clip=interval(0.1,0.3)", "algo.clip=interval(0.1,0.2)"),
    "too large": both(base("hidden", "[1000000, 1000000]"),
                      recorded("network.hidden=[4]", "network.hidden=[1000000,1000000]")),
}  # fmt: skip


@pytest.fixture
def attack_search(honest_search: Path, workplace: Path, secret: Path, rlcli: Rlcli) -> Any:
    """As `attack_sweep`, of a sweep with a sampler."""

    def run(harm: Harm, verb: str) -> Ended:
        sweep = workplace / "stolen"
        shutil.copytree(honest_search, sweep)
        recorded(f"runs_dir={honest_search.parent}", "runs_dir=runs")(sweep)
        base("runs_dir", "runs")(sweep)
        return harmed(sweep, harm, verb, workplace, rlcli)

    return run


@pytest.mark.parametrize("verb", sorted(SEARCHES))
def test_an_honest_search_is_read(verb: str, attack_search: Any) -> None:
    assert attack_search(lambda sweep: None, verb).code == 0


@pytest.mark.parametrize("verb", sorted(SEARCHES))
@pytest.mark.parametrize("harm", STUDIES.values(), ids=STUDIES.keys())
def test_a_study_that_is_none(harm: Harm, verb: str, attack_search: Any) -> None:
    assert attack_search(harm, verb).code == 4


@pytest.mark.parametrize("harm", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_that_asks_for_something_else(harm: Harm, attack_search: Any) -> None:
    assert attack_search(harm, "resume").code in REFUSED
    assert "evil" not in sys.modules


@pytest.mark.parametrize("verb", sorted(SEARCHES))
def test_nothing_of_a_study_steers_the_terminal(verb: str, attack_search: Any) -> None:
    def harm(sweep: Path) -> None:
        entry_of(op_code=8, trial_id=0, user_attr={"reason": STEERING})(sweep)
        space = {STEERING: '{"name": "FloatDistribution", "attributes": {"low": 0, "high": 1}}'}
        entry_of(
            op_code=4, study_id=0, datetime_start=None, state=3, value=None, values=None, system_attrs={},
            user_attrs={"reason": STEERING}, intermediate_values={}, params={STEERING: 0.5},
            distributions=space,
        )(sweep)  # fmt: skip

    attack_search(harm, verb)
