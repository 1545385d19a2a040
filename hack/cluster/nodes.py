"""One real Kubernetes node made of this machine's own processes, without any image registry.

``up`` may find anything: nothing yet, a healthy node, a process missing, or the ruins after a
reboot. It looks, does what is missing, and waits until the node answers for itself.

Before: ``choosing`` picked the local node.
After: ``cli`` prints where the kubeconfig is; users apply their resources.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from hack.cluster import (
    archives,
    builds,
    configs,
    forgetting,
    images,
    manifests,
    networks,
    observing,
    pki,
    preflight,
    probes,
    processes,
    starting,
    sweeping,
)
from hack.cluster.apiservers import ApiServer
from hack.cluster.cgroups import PodCgroup
from hack.cluster.components import (
    NAMES,
    NODE_PROGRAMS,
    Component,
    Programs,
    build_components,
)
from hack.cluster.layouts import API_SERVICE_ADDRESS, DNS_SERVICE_ADDRESS, NODE_NAME, Layout
from hack.cluster.providers import Extent, Status
from hack.cluster.waiting import wait_until
from hack.tooling import packages
from hack.tooling.errors import CommandError, ToolError
from hack.tooling.steps import Progress, Step

_IMAGE_PREFIX = "localhost/orchestrator-cluster"
_READY_SECONDS = 120.0
_FIRST = ("etcd", "containerd")
_MIDDLE = ("controllers", "scheduler", "kubelet", "volumes")
_LAST = ("proxy", "policies")
"""One after the other: kube-router writes the whole filter table back as it read it, and takes away
the chains that kube-proxy made in between; kube-proxy then leaves services unreachable."""
_FEEDING_PODS = ("kubelet", "controllers", "scheduler", "volumes")
"""These end first at ``down``: they would start pods again while the pods are being ended."""


class LocalNode:
    """The local node as a provider."""

    name = "local"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._api = ApiServer(layout)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._layout.kubeconfig

    def check(self) -> None:
        """Insist on root, room and free ports."""
        preflight.check_machine()
        is_built = all(builds.find_built(build, self._layout) for build in builds.NODE_BUILDS)
        needed_bytes = preflight.LATER_BYTES if is_built else preflight.FIRST_BYTES
        preflight.check_disk(self._layout.root, needed_bytes=needed_bytes)
        preflight.check_ports(starting.find_pids(self._layout))

    def up(self, progress: Progress) -> None:
        """Install, build, start and wait; each only as far as it is missing."""
        packages.install(NODE_PROGRAMS, progress)
        built = {
            b.name: builds.build_program(b, self._layout, progress) for b in builds.NODE_BUILDS
        }
        own_images = self._write_images(built["pause"], built["coredns"])
        with progress.step("preparing keys, configuration and network") as step:
            self._prepare(step, pause_image=_image_name(built["pause"]))
        programs = Programs(built["kubernetes"], built["kube-router"])
        self._start(build_components(self._layout, programs), progress)
        self.load(own_images, progress)
        with progress.step("waiting for the node and its DNS", usual_seconds=6):
            self._apply(dns_image=_image_name(built["coredns"]))
            self._wait_ready()

    def down(self, progress: Progress, extent: Extent) -> None:
        """End pods and processes, then remove what they left in the kernel and on disk."""
        preflight.check_machine()
        with progress.step("ending pods and the node's processes", usual_seconds=8) as step:
            starting.end(_FEEDING_PODS, self._layout, step)
            if extent is Extent.PROCESSES:
                # Stores close their files; what is about to be deleted need not be closed.
                sweeping.terminate_pods(self._layout, step)
            starting.end(reversed(NAMES), self._layout, step)
        with progress.step("removing mounts, network and rules") as step:
            sweeping.sweep(self._layout, step)
            networks.remove_network(self._layout, step)
        if extent is not Extent.PROCESSES:
            with progress.step("removing resources, volumes and images") as step:
                self._remove_data(step)

    def load(self, archives: Sequence[Path], progress: Progress) -> None:
        """Import archives, unless the images are there; forget older ones that nothing needs."""
        if not probes.is_socket_open(self._layout.containerd_socket):
            raise ToolError(
                "the local node is not running", advice="run `python3 hack/cluster up` first"
            )
        loaded: list[str] = []
        for archive in archives:
            loaded += images.load_archive(archive, self._layout, progress)
        forgetting.forget_old(loaded, self._layout, self._api, progress)

    def observe_status(self) -> Status:
        """Look at processes, node and DNS."""
        return observing.observe_node(self._layout, self._api)

    def list_logs(self) -> dict[str, Path]:
        """One log per process."""
        return {name: starting.log_of(self._layout, name) for name in NAMES}

    def _write_images(self, *programs: Path) -> list[Path]:
        written = []
        for program in programs:
            archive = program.with_suffix(".tar")
            if not archive.exists():
                archives.write_program_image(program, name=_image_name(program), archive=archive)
            written.append(archive)
        return written

    def _prepare(self, step: Step, *, pause_image: str) -> None:
        pki.ensure_pki(self._layout)
        configs.write_configs(configs.build_configs(self._layout, pause_image=pause_image))
        for folder in (self._layout.etcd, self._layout.volumes, self._layout.pod_logs):
            folder.mkdir(parents=True, exist_ok=True)
        # etcd insists on a folder that nobody else can read.
        self._layout.etcd.chmod(0o700)
        self._clear_ruins(step)
        PodCgroup(self._layout.cgroup).ensure()
        networks.ensure_network(self._layout, step)

    def _clear_ruins(self, step: Step) -> None:
        """Sweep unless containerd, or a shim it can adopt, is alive: then pods go on running."""
        is_containerd_running = processes.find_running(
            starting.record_of(self._layout, "containerd")
        )
        if is_containerd_running or sweeping.list_shims(self._layout):
            return
        starting.end(("kubelet",), self._layout, step)
        sweeping.sweep(self._layout, step)

    def _start(self, components: tuple[Component, ...], progress: Progress) -> None:
        by_name = {component.name: component for component in components}
        with progress.step("starting the node's processes", usual_seconds=9) as step:
            started = self._ensure([by_name[name] for name in _FIRST], step)
            if "containerd" in started and not sweeping.list_shims(self._layout):
                self._forget_containers(by_name["containerd"], step)
            started += self._ensure([by_name["apiserver"]], step)
            started += self._ensure([by_name[name] for name in _MIDDLE], step)
            self._wait_registered()
            for name in _LAST:
                started += self._ensure([by_name[name]], step)
            if not started:
                step.skip("they run")

    def _ensure(self, wanted: Sequence[Component], step: Step) -> list[str]:
        """Start what does not run, wait until all are healthy, return who was started."""
        started = [c.name for c in wanted if starting.ensure_running(c, self._layout, step)]
        for component in wanted:
            starting.wait_healthy(component, self._layout)
        return started

    def _forget_containers(self, containerd: Component, step: Step) -> None:
        """Drop containers whose processes are gone; the kubelet then makes every pod anew."""
        try:
            is_stale = images.remove_containers(self._layout)
        except CommandError as error:
            error.advice = starting.REPAIR
            error.log = starting.log_of(self._layout, "containerd")
            raise
        if is_stale:
            starting.end(("containerd",), self._layout, step)
            self._ensure([containerd], step)

    def _wait_registered(self) -> None:
        # kube-router gives up at once when its node is not known yet.
        wait_until(
            lambda: self._api.get(f"/api/v1/nodes/{NODE_NAME}") is not None,
            what=f"the kubelet did not register node {NODE_NAME}",
            timeout_seconds=_READY_SECONDS,
            advice="see `python3 hack/cluster logs kubelet`; " + starting.REPAIR,
        )

    def _apply(self, *, dns_image: str) -> None:
        for resource in manifests.build_resources(dns_image=dns_image):
            self._api.apply(resource.path, resource.manifest)

    def _wait_ready(self) -> None:
        advice = (
            "see `python3 hack/cluster status` and `python3 hack/cluster logs kubelet`; "
            + starting.REPAIR
        )
        wait_until(
            lambda: observing.is_node_ready(self._layout, self._api),
            what=f"node {NODE_NAME} was not ready",
            timeout_seconds=_READY_SECONDS,
            advice=advice,
        )
        wait_until(
            observing.is_dns_answering,
            what=f"DNS at {DNS_SERVICE_ADDRESS} did not answer with {API_SERVICE_ADDRESS}",
            timeout_seconds=_READY_SECONDS,
            advice=advice,
        )

    def _remove_data(self, step: Step) -> None:
        # Never delete through a mount: a volume of a pod would be emptied.
        sweeping.unmount_below((self._layout.data,), step)
        for folder in (self._layout.data, self._layout.pki, self._layout.configs):
            shutil.rmtree(folder, ignore_errors=True)
        self._layout.kubeconfig.unlink(missing_ok=True)
        for link in Path("/var/log/containers").glob("*.log"):
            if link.is_symlink() and link.readlink().is_relative_to(self._layout.pod_logs):
                link.unlink(missing_ok=True)


def _image_name(program: Path) -> str:
    # The store's folder carries the content's hash: another program, another name.
    return f"{_IMAGE_PREFIX}/{program.name}:{program.parent.name.rpartition('-')[2]}"
