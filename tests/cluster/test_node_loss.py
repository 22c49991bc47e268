"""One node is killed or frozen under load: the lake goes on within a minute, and nothing is lost or doubled.

The tests without the mark `faults` are the choice that CI runs: each kind of node once, and each kind of fault.
"""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from finance_local.config import BROKERS, OBJECT_STORE, ZOOKEEPERS
from finance_role.exit_codes import REFUSED
from tests.support.cluster import BACK_SECONDS, TICKS_PER_SECOND, Cluster, seed, signal_family
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.cluster import Driver

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

KILL, FREEZE = signal.SIGKILL, signal.SIGSTOP
slow = pytest.mark.faults
# The start of Python and a JVM is most of it: 20 s on an idle machine, a minute at a load of 20.
TAKE_OVER_SECONDS = 120
FROZEN_SECONDS = 10


@pytest.fixture(scope="module")
def chance() -> random.Random:
    return random.Random(seed())  # noqa: S311


def stored(cluster: Cluster, more: int) -> None:
    """Wait until more offsets are stored."""
    before = cluster.position()
    wait_until(lambda: cluster.position() >= before + more, BACK_SECONDS, lambda: f"batches go on\n{cluster.report()}")


def survives(cluster: Cluster, role: str, how: signal.Signals, chance: random.Random) -> None:
    """Kill or freeze a role under load, wait until the lake is back, thaw it, and verify."""
    producer = cluster.produce()
    stored(cluster, 1000)
    time.sleep(chance.random())  # anywhere in a batch
    victim = cluster.process(role)
    at = time.monotonic()
    signal_family(victim, how)
    back = cluster.seconds_back(at)
    if how is FREEZE:
        signal_family(victim, signal.SIGCONT)
        print(f"{role} {how.name}: back after {back:.0f} s, after the thaw {cluster.seconds_back(time.monotonic()):.0f} s")
    else:
        print(f"{role} {how.name}: back after {back:.0f} s")
    wait_until(lambda: is_there(cluster, role), BACK_SECONDS, lambda: f"{role} is back\n{cluster.report()}")
    cluster.proven(producer)


def is_there(cluster: Cluster, role: str) -> bool:
    try:
        return cluster.process(role).status() != psutil.STATUS_STOPPED
    except (AssertionError, psutil.NoSuchProcess):
        return False


# ---- brokers and ZooKeeper ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [KILL, FREEZE], ids=["killed", "frozen"])
def test_the_leader_of_a_partition_is_lost(cluster: Cluster, how: signal.Signals, chance: random.Random) -> None:
    survives(cluster, cluster.leader(chance.randrange(4)), how, chance)


@slow
@pytest.mark.parametrize("how", [KILL, FREEZE], ids=["killed", "frozen"])
@pytest.mark.parametrize("role", BROKERS)
def test_each_broker_in_turn_is_lost(cluster: Cluster, role: str, how: signal.Signals, chance: random.Random) -> None:
    survives(cluster, role, how, chance)


@pytest.mark.parametrize(
    ("role", "how"),
    [
        pytest.param(role, how, marks=() if (role, how) == (ZOOKEEPERS[1], FREEZE) else slow)
        for role in ZOOKEEPERS
        for how in (KILL, FREEZE)
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else value,
)
def test_a_zookeeper_node_is_lost(cluster: Cluster, role: str, how: signal.Signals, chance: random.Random) -> None:
    survives(cluster, role, how, chance)


# ---- Spark --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [KILL, pytest.param(FREEZE, marks=slow)], ids=["killed", "frozen"])
def test_the_master_is_lost(cluster: Cluster, how: signal.Signals, chance: random.Random) -> None:
    survives(cluster, "spark-master", how, chance)


@pytest.mark.parametrize("action", [pytest.param("", marks=slow), ":stop"], ids=["killed", "frozen"])
def test_a_worker_is_lost_in_mid_batch_after_it_has_written_a_file(cluster: Cluster, action: str) -> None:
    producer = cluster.produce()
    stored(cluster, 1000)
    name = cluster.working()
    worker, failpoint = cluster.process(name), cluster.failpoint(name)
    failpoint.write_text(f"in-data-files{action}")
    ended = is_stopped if action else is_gone
    wait_until(lambda: ended(worker), BACK_SECONDS, lambda: f"the worker is lost\n{cluster.report()}")
    at = time.monotonic()
    failpoint.unlink()
    back = cluster.seconds_back(at)
    print(f"{name} lost in mid-batch{action}: back after {back:.0f} s")
    if action:
        signal_family(worker, signal.SIGCONT)
        cluster.seconds_back(time.monotonic())
    wait_until(lambda: is_there(cluster, name), BACK_SECONDS, lambda: f"the worker is back\n{cluster.report()}")
    cluster.proven(producer)


def is_stopped(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


# ---- the object store ---------------------------------------------------------------------------------------------------


def test_the_object_store_is_killed(cluster: Cluster, chance: random.Random) -> None:
    survives(cluster, OBJECT_STORE, KILL, chance)


@slow
def test_the_object_store_is_frozen_and_the_lake_goes_on_when_it_is_thawed(cluster: Cluster) -> None:
    producer = cluster.produce()
    stored(cluster, 1000)
    signal_family(cluster.process(OBJECT_STORE), FREEZE)
    end = cluster.ends() or 0
    more = FROZEN_SECONDS * TICKS_PER_SECOND
    wait_until(lambda: (cluster.ends() or 0) >= end + more, BACK_SECONDS, lambda: f"ticks arrive\n{cluster.report()}")
    signal_family(cluster.process(OBJECT_STORE), signal.SIGCONT)
    print(f"{OBJECT_STORE} frozen for {FROZEN_SECONDS} s: back {cluster.seconds_back(time.monotonic()):.0f} s after the thaw")
    cluster.proven(producer)


# ---- the driver ---------------------------------------------------------------------------------------------------------


def takes_over(cluster: Cluster) -> float:
    """Start another driver, wait for new rows, and return how many seconds that took."""
    before, since = cluster.position(), time.monotonic()
    cluster.driver()
    wait_until(lambda: cluster.position() > before, TAKE_OVER_SECONDS, lambda: f"new rows\n{cluster.report()}")
    return time.monotonic() - since


def is_refused(driver: Driver) -> None:
    assert driver.end(BACK_SECONDS) == REFUSED, driver.text()[-3000:]
    assert "another driver has taken over the lake" in driver.text()
    assert "Traceback" not in driver.text()


def test_a_killed_driver_is_replaced_by_one_that_has_only_the_address_of_the_lake_and_of_the_brokers(cluster: Cluster) -> None:
    producer = cluster.produce()
    stored(cluster, 1000)
    old = cluster.drivers[-1]
    old.send(KILL)
    old.end(30)
    print(f"another driver: first new rows after {takes_over(cluster):.0f} s")
    cluster.seconds_back(time.monotonic())
    cluster.proven(producer)


@slow
def test_a_frozen_driver_is_refused_when_it_is_thawed_after_another_one_has_taken_over(cluster: Cluster) -> None:
    producer = cluster.produce()
    stored(cluster, 1000)
    old = cluster.drivers[-1]
    old.send(FREEZE)
    print(f"another driver beside the frozen one: first new rows after {takes_over(cluster):.0f} s")
    old.send(signal.SIGCONT)
    is_refused(old)
    cluster.seconds_back(time.monotonic())
    cluster.proven(producer)


def test_a_driver_that_is_cut_off_is_refused_when_its_network_is_healed_after_another_one_has_taken_over(
    cluster: Cluster,
) -> None:
    if not cluster.is_watched:
        pytest.skip("only root can cut a process off from the network")
    producer = cluster.produce()
    stored(cluster, 1000)
    old = cluster.drivers[-1]
    cluster.is_watched = False  # the next driver is at another place of the network
    with cluster.network.cut():
        print(f"another driver beside the one that is cut off: first new rows after {takes_over(cluster):.0f} s")
        cluster.seconds_back(time.monotonic())
        assert old.process.is_running()
    is_refused(old)
    cluster.is_watched = True
    cluster.seconds_back(time.monotonic())
    cluster.proven(producer)
