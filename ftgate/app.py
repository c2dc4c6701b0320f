"""The only composer: opens a data directory, builds the edges, the gate, the site and the doors, and runs them.

Whatever is heavy (Quart, Hypercorn, httpcore) is imported inside the functions that need it, so that `ftgate keys list`
starts fast.
"""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import trio

from ftgate.accounts import Accounts
from ftgate.accounts.payments import Payments
from ftgate.config import Settings, channel_row
from ftgate.config.observed import goes
from ftgate.core.limits import Limits
from ftgate.core.routing import Channel
from ftgate.errors import Conflict, DatabaseBusy
from ftgate.house import control, serving
from ftgate.house.config_desk import ConfigDesk
from ftgate.house.copies import Copies
from ftgate.house.crowd import Crowd
from ftgate.house.house import DATABASE, House, SystemClock
from ftgate.house.live import Live
from ftgate.house.lock import Lock, Patience
from ftgate.house.reload import Reloader
from ftgate.ports import GateSettings
from ftgate.ports.site import Doer
from ftgate.store.database import DatabaseFault
from ftgate.store.journal import StoredJournal
from ftgate.store.records import StoredRecords
from ftgate.store.source import Postgres

if TYPE_CHECKING:
    from ftgate.house.metrics import Metrics
    from ftgate.house.moving import Came, Told
    from ftgate.line.channels import Ways
    from ftgate.line.gate import Gate
    from ftgate.line.running import Running
    from ftgate.readiness import Readiness
    from ftgate.transports.choice import Transports

log = logging.getLogger("ftgate.app")


def open_house(
    settings: Settings, data_dir: Path, *, serving: bool, patience: Patience | None = None
) -> House[Accounts]:
    """An open data directory with its users and keys. Raises as House does."""
    if settings.database.url is not None:
        from ftgate.house.shared import SharedHouse

        return SharedHouse(settings, data_dir, serving=serving, accounts=Accounts, patience=patience)
    return House(settings, data_dir, serving=serving, accounts=Accounts, patience=patience)


def _payments(house: House[Accounts], own: str = "") -> Payments:
    """Card payments in this house, which is reached at `own`."""
    accounts = house.accounts
    return Payments(
        accounts.payment_rows, accounts.directory, accounts.throttles, house.writer, house.clock,
        terms=lambda: house.live.payments, own_url=own, passing=house.passing,
    )  # fmt: skip


def commands(accounts: Accounts) -> control.Commands:
    """What the command line may ask for, here or over the control socket."""
    return {
        "users.create": accounts.managed.create,
        "users.list": accounts.users.list,
        "users.set": accounts.users.set_status,
        "users.password": accounts.managed.password,
        "users.change": accounts.managed.edit,
        "users.logout": accounts.managed.sign_out,
        "keys.create": accounts.keys.create,
        "keys.list": accounts.keys.list,
        "keys.set": accounts.keys.set_status,
        "credit.grant": accounts.credits.grant,
        "credit.correct": accounts.credits.correct,
    }


ALONE = ("users.forget", "database.compact")
"""Where no call waits for it, they write the database anew however large it is."""


def everywhere(house: House[Accounts]) -> control.Commands:
    """That, and what it may ask of the database as a whole. Who forgets a person is told where copies go, `backups`."""

    async def forget(**arguments: Any) -> dict[str, object]:
        said = await house.accounts.forgetting.forget(**arguments)
        return {**said, "backups": str(house.backups().absolute())}

    compact = house.accounts.forgetting.compact
    return {**commands(house.accounts), "users.forget": forget, "database.compact": compact}


def payment_commands(payments: Payments) -> control.Commands:
    """What it may ask about payments."""
    return {"payments.list": payments.listed, "payments.reconcile": payments.reconcile}


def running_commands(ways: "Ways", calls: "Running") -> control.Commands:
    """What only a running server knows or does."""
    cli = Doer()

    async def in_flight() -> Sequence[Mapping[str, object]]:
        return calls.shown()

    async def stop(request_id: str) -> None:
        await calls.stop(request_id, cli)

    async def listed() -> list[dict[str, object]]:
        return [
            {**channel_row(c), "enabled": c.enabled, **ways.gate.standing.shown(c)}
            for c in ways.gate.settings.routes.channels
        ]

    async def test(name: str, model: str | None) -> Mapping[str, object]:
        return await ways.test(name, model, cli)

    async def switch(name: str, enabled: bool) -> Mapping[str, object]:
        return await ways.switch(name, enabled, cli)

    async def reset(name: str) -> Mapping[str, object]:
        return await ways.reset(name, cli)

    async def explain(body: str, route: str | None) -> dict[str, object]:
        return await _explained(ways.gate, body, route)

    return {
        "channels.list": listed, "channels.test": test, "channels.switch": switch, "channels.reset": reset,
        "route.explain": explain, "calls.list": in_flight, "calls.stop": stop,
    }  # fmt: skip


def server_commands(house: House[Accounts], config: ConfigDesk, url: str) -> control.Commands:
    """What a server knows of itself: its config, where callers reach it, where its telemetry goes (None: nowhere)."""

    async def address() -> str:
        return house.live.site.public_url or url

    async def telemetry() -> str | None:
        return goes(house.live.started)

    return {"config.reload": config.command, "config.path": config.path, "address": address, "telemetry": telemetry}


async def explain_route(settings: Settings, body: str, route: str | None) -> dict[str, Any]:
    """How a call would be routed where no server runs, by the config alone. Raises GateError."""
    from ftgate.line.trial import unbilled

    return await _explained(unbilled(Live(settings).gate, SystemClock()), body, route)


async def _explained(gate: "Gate", body: str, route: str | None) -> dict[str, Any]:
    """For the operator, who may use every model."""
    from ftgate.line.trial import OPERATOR

    return (await gate.explain(OPERATOR, body.encode(), route)).shown()


async def try_channel(settings: Settings, channel: Channel, model: str | None) -> dict[str, Any]:
    """A trial of one channel where no server runs. Raises InvalidRequest."""
    from ftgate.line.trial import trial
    from ftgate.transports.choice import Transports

    transports = Transports(direct=settings.server.direct_transport)
    try:
        return (await trial(transports, Live(settings).gate, channel, model, SystemClock())).shown()
    finally:
        await transports.aclose_all()  # noqa: ASYNC102 - nothing in it waits


async def command(
    settings: Settings, data_dir: Path, name: str, arguments: Mapping[str, Any], patience: Patience | None = None
) -> dict[str, Any]:
    """Do one command on a data directory that no server holds. Raises as House does."""
    house = open_house(settings, data_dir, serving=False, patience=patience)
    payments = _payments(house)
    try:
        await house.begin()
        does = {**everywhere(house), **payment_commands(payments)}
        does |= {known: partial(does[known], whole=True) for known in ALONE}
        said = await control.perform(does, name, arguments)
        if said.get("code") == DatabaseBusy.code:  # the operator has been told; the close need not try on
            house.writer.abandon()
        await payments.aclose()
        return said
    finally:
        await house.close()  # noqa: ASYNC102 - shielded within


async def move_there(
    settings: Settings, data_dir: Path, target: Postgres, patience: Patience, told: "Told"
) -> "Came":  # fmt: skip
    """Move the ledger of a data directory that no server holds to a PostgreSQL. Raises as House does, sqlite3.Error."""
    from ftgate.house import moving

    path = data_dir / DATABASE
    if path.exists() and moving.finished(path, target, partial(Lock, data_dir, serving=False, patience=patience)):
        return moving.Came(str(target), again=True)
    house = open_house(moving.of_the_file(settings), data_dir, serving=False, patience=patience)
    try:
        return await moving.there(house, target, await house.begin(), told)
    finally:
        await house.close()  # noqa: ASYNC102 - shielded within


async def seed_history(settings: Settings, data_dir: Path, patience: Patience, **wanted: Any) -> dict[str, Any]:
    """Fill a data directory that no server holds with a made-up history (house.seeding.fill). Raises as House does."""
    from ftgate.house.seeding import fill

    house = open_house(settings, data_dir, serving=False, patience=patience)
    try:
        await house.begin()
        return await fill(house, house.accounts, **wanted)
    finally:
        await house.close()  # noqa: ASYNC102 - shielded within


async def serve(
    settings: Settings,
    data_dir: Path,
    *,
    host: str,
    port: int,
    started: Callable[[serving.Started], None],
    read: Callable[[], Settings],
    patience: Patience | None = None,
    given: Mapping[str, object] = MappingProxyType({}),
) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `read` gives the settings anew, or raises ConfigFaults. `given` are
    the settings that the command line gave, by name, for whoever looks at the config. Raises Locked, DatabaseFault,
    PortTaken, NoSuchHost, LeadsBack, OSError before it serves."""
    serving.allow_open_files()
    serving.keep_no_core()
    # First: a port that is taken must not leave a new data directory behind.
    listeners = await serving.listen(host, port)
    try:
        leading_back = partial(serving.leading_back, listeners)
        if back := leading_back(settings):
            raise serving.LeadsBack(back)
        with serving.Signals() as signals:
            house = open_house(settings, data_dir, serving=True, patience=patience)
            try:
                plans = house.accounts.plans
                reloader = Reloader(house.live, read, lambda new: leading_back(new) or plans.lost(new.plans))
                code = await _serve(house, listeners, started, signals, reloader, given)
            finally:
                await house.close()  # noqa: ASYNC102 - shielded within
    finally:
        for listener in listeners:
            listener.socket.close()
    return 1 if house.writer.failed is not None and not house.writer.abandoned else code


async def _serve(
    house: House[Accounts], listeners: list[trio.SocketListener], started: Callable[[serving.Started], None],
    signals: serving.Signals, reloader: Reloader, given: Mapping[str, object],
) -> int:  # fmt: skip
    from ftgate import readiness
    from ftgate.line.channels import Ways
    from ftgate.line.running import Running
    from ftgate.transports.choice import Transports

    settings = house.settings
    orphans = await house.begin()
    watches = readiness.Readiness() if readiness.SUPPORTED else None
    transports = Transports(direct=settings.server.direct_transport, readiness=watches)
    _switch(house)
    gate = _gate(house, transports)
    ways = Ways(gate, transports, house.accounts.switches, house.accounts.deeds)
    calls = Running(gate, house.accounts.deeds)
    url = serving.address(listeners, tls=settings.server.tls_cert is not None)
    payments = _payments(house, url)
    config = ConfigDesk(reloader, house.accounts.deeds, given)
    copies = Copies(house)
    door = await _door(house, ways, calls, watches, payments, url, config, copies)
    code = 0
    _keep_up(house, gate, transports)
    house.accounts.plans.adopt()
    house.accounts.plans.warn()
    gate.standing.spending.known(await house.spent_this_month(), house.clock.wall_us())
    desk = control.bound(house.lock)
    async with trio.open_nursery() as nursery:
        asked = {
            **everywhere(house), **payment_commands(payments), **running_commands(ways, calls),
            **server_commands(house, config, url),
        }  # fmt: skip
        await nursery.start(control.serve, desk, asked)
        if watches is not None:
            nursery.start_soon(watches.run)
        chores = (
            lambda: gate.limits.forget_idle(gate.clock.now()),
            transports.close_idle,
            lambda: house.remember_ratios(gate.ratios),
            house.writer.fold_log,
            house.accounts.keys.remember_use,
        )
        nursery.start_soon(serving.sweep, chores, house)
        nursery.start_soon(serving.follow_spending, house, gate.standing.spending)
        nursery.start_soon(serving.prune, house)
        nursery.start_soon(copies.run)
        nursery.start_soon(_telemetry, house)
        nursery.start_soon(gate.keep_alive)
        nursery.start_soon(payments.run)
        nursery.start_soon(house.watch_files)
        nursery.start_soon(reloader.heed, signals.hangup)
        nursery.start_soon(reloader.watch)
        signals.heed_ends()
        async with trio.open_nursery() as doors:
            await doors.start(door.serve, listeners)
            # The last thing before it is shown: a start that fails must not swallow it.
            owner_key = await _first_key(house)
            started(serving.Started(url, house, orphans, owner_key, _setup_links(house, url, listeners)))
            serving.settle_the_heap()
            code = await serving.until_told(signals, house.writer.died)
            await serving.wind_down(gate, door, doors, signals, *serving.patience(house.settings, code))
        nursery.cancel_scope.cancel()
    house.remember_ratios(gate.ratios)
    house.accounts.keys.remember_use()
    await transports.aclose_all()
    await payments.aclose()
    if watches is not None:
        watches.close()
    return code


def _switch(house: House[Accounts]) -> None:
    """Channels that were switched off stay off, as long as they are in the config."""
    switches, live = house.accounts.switches, house.live

    def keep() -> None:
        if house.refresh is None:  # else it may be that only another gateway has the channel
            switches.keep([channel.name for channel in live.settings.routes.channels])
        live.off = frozenset(switches.off)  # whoever comes back under a name that was gone is on

    keep()
    live.switch(switches.off)
    live.tell(keep)
    switches.turned = lambda: live.switch(switches.off)


def _keep_up(house: House[Accounts], gate: "Gate", transports: "Transports") -> None:
    """What has to be told when other settings are in force."""
    house.live.tell(house.accounts.adopt)
    house.live.tell(gate.adopt)
    house.accounts.directory.replanned = lambda key: gate.limits.renew("key", key)
    house.live.tell(lambda: transports.adopt(_channels(house.live.gate)))


def _channels(settings: GateSettings) -> list[Channel]:
    """Every channel that calls go by: those of the config, and those for callers with keys of their own."""
    return [*settings.routes.channels, *(taker.channel for taker in settings.takers.values())]


def _gate(house: House[Accounts], transports: "Transports") -> "Gate":
    """The line over this house."""
    from ftgate.line.gate import Gate

    limits = Limits(house.live.rates_for(house.accounts.directory.plan_of_key))
    gate = Gate(
        live=house.live,
        keys=house.accounts.directory,
        ledger=house.ledger(limits),
        upstream=transports,
        limits=limits,
        clock=house.clock,
        passing=house.passing,
        gateway=secrets.token_hex(8).encode(),
    )
    gate.ratios.known.update(house.ratios)
    return gate


async def _door(
    house: House[Accounts], ways: "Ways", calls: "Running", watches: "Readiness | None", payments: Payments, own: str,
    config: ConfigDesk,
    copies: Copies,
) -> serving.Door:  # fmt: skip
    """What stands at the port, with the site behind it. `own` is the URL at which it is reached."""
    from ftgate.doors.asgi import Relay
    from ftgate.doors.fast import FastDoor
    from ftgate.doors.hypercorn import HypercornDoor
    from ftgate.doors.inside import InsideDoor
    from ftgate.doors.intake import Intake
    from ftgate.house.called import command
    from ftgate.house.price_desk import PriceDesk
    from ftgate.house.system import SystemDesk
    from ftgate.line.counting import Counter
    from ftgate.line.key_check import Asking
    from ftgate.web.services import Services
    from ftgate.web.site import Site

    server, gate = house.settings.server, ways.gate
    accounts = house.accounts
    intake = Intake(
        gate.relay, Counter(gate).count, gate.authenticate, live=house.live, throttle=accounts.throttles
    )  # fmt: skip
    system = SystemDesk(house, calls=lambda: len(gate.calls))
    services = Services(
        accounts=accounts.directory,
        journal=StoredJournal(house.database),
        channels=ways,
        config=config,
        metrics=_metrics(house, gate, payments, copies),
        key_check=Asking(house.live, ways.upstream),
        provider_keys=accounts.provider_keys,
        sessions=accounts.sessions,
        throttle=accounts.throttles,
        entrance=accounts.entrance,
        people=accounts.people,
        keys=accounts.keys,
        calls=calls,
        users=accounts.managed,
        credits=accounts.credits,
        records=StoredRecords(house.database),
        setup=accounts.setup,
        prices=PriceDesk(config.reloader, accounts.deeds),
        system=system,
        page_calls=InsideDoor(intake, accounts.keys),
        payments=payments,
        own=(own,),
        command=partial(command, data_dir=house.data_dir),
        refresh=house.refresh,
    )
    site = Site(gate, house.live, services)
    await site.start()
    intake.know_site(site.methods_at)
    context = serving.tls_context(server.tls_cert, server.tls_key)
    if context is not None:
        house.live.tell(lambda: serving.renew(context, house.settings.server))
    crowd = Crowd(house.live)
    slow = HypercornDoor(Relay(intake, site), ssl_context=context, admit=crowd.admit)
    door: serving.Door = slow
    if watches is not None and server.fast_door:
        door = FastDoor(intake, slow, watches, ssl_context=context, admit=crowd.admit)
    elif server.fast_door:
        log.warning("server.fast_door needs Linux: every call goes through Hypercorn")
    system.connections = lambda: door.connections
    return door


async def _telemetry(house: House[Accounts]) -> None:
    """Tell a collector of ended calls, where the settings name one: until cancelled, and then of the last ones."""
    if house.settings.telemetry.otlp_endpoint is None:
        return
    from ftgate.house.telemetry import Sender

    sender = Sender(house.settings.telemetry, house.clock)
    house.writer.onlooker = sender.take
    try:
        await sender.run()
    finally:
        await sender.finish(house.writer.drain)  # noqa: ASYNC102 - shielded within


def _metrics(house: House[Accounts], gate: "Gate", payments: Payments, copies: Copies) -> "Metrics":
    """What is counted in this house."""
    from ftgate.house.metrics import Metrics

    return Metrics(
        gate.tally, house.books, house.writer, calls=lambda: len(gate.calls), circuits=gate.standing.circuits,
        throttled=house.accounts.throttles.counted, payments=payments.counted,
        copies=copies.counted,
    )  # fmt: skip


def _setup_links(house: House[Accounts], url: str, listeners: list[trio.SocketListener]) -> Sequence[str]:
    """Where the first operator is made, in a house that has none."""
    token = house.accounts.setup.issue()
    return serving.setup_links(token, house.settings.server.public_url, url, listeners) if token else ()


async def _first_key(house: House[Accounts]) -> str | None:
    """A key of the owner's, in a house that has no users yet."""
    if house.accounts.directory.users:
        return None
    try:
        await house.writer.turn()
        if house.accounts.directory.users:  # another gateway was first
            return None
        return str((await house.accounts.keys.create(username=None, name="first key"))["key"])
    except Conflict:  # just now
        return None
    except DatabaseBusy as busy:
        raise DatabaseFault(f"{house.database}: {busy}") from busy
