"""What strangers may try how often (ACCOUNTS.md, Throttles). The answer is the same whether or not a name exists, and
with the right password too while it lasts; who shows a good key or token is never slowed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from ftgate.core.throttle import Throttle, neighbourhood
from ftgate.errors import Overloaded, RateLimited
from ftgate.ports import Clock

KNOWN_US = 30 * 86_400 * 1_000_000
"""For how long an address counts as its user's after a login from there."""


class Try:
    """One login under way. It counts as failed until it has succeeded. `known`: its name has logged in from there
    lately."""

    def __init__(self, throttles: "Throttles", name: str, at: str, began: float, known: bool) -> None:
        self.throttles = throttles
        self.name = name
        self.at = at
        self.began = began
        self.known = known

    def succeeded(self) -> None:
        """It was no guess."""
        self.throttles.of_both.clear((self.name, self.at))
        self._taken_back()

    def put_off(self) -> None:
        """Nothing was looked at."""
        self.throttles.of_both.take_back((self.name, self.at), self.began)
        self._taken_back()

    def _taken_back(self) -> None:
        t = self.throttles
        t.of_address.take_back(self.at, self.began)
        t.of_name.take_back(self.name, self.began)


class Throttles:
    """ports.Throttle, and those of logins and sign-ups. `counted` says how often each has refused."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.of_both = Throttle(5, 900)
        self.of_address = Throttle(30, 900)
        self.of_name = Throttle(100, 900)
        self.sign_ups = Throttle(20, 3600)
        self.made = Throttle(10, 3600)
        self.guesses = Throttle(60, 60)
        self.accounts = {
            "checkout": Throttle(10, 60),
            "byok": Throttle(10, 60),
            "refresh": Throttle(60, 3600),
            "token": Throttle(3000, 3600),
        }
        self.counted: Counter[str] = Counter()

    def login(self, name: str, address: str, *, known: bool) -> Try:
        """A login or a change of password begins, for this name from this address; `known`: it has logged in from
        there lately. Raises RateLimited."""
        now, at, name = self.clock.now(), neighbourhood(address), name.casefold()[:100]
        waits = [self.of_both.wait_s((name, at), now), self.of_address.wait_s(at, now)]
        if not known:
            waits.append(self.of_name.wait_s(name, now))
        self._refuse("login", "Too many failed logins", *waits)
        self.of_both.add((name, at), now)
        self.of_address.add(at, now)
        self.of_name.add(name, now)
        return Try(self, name, at, now, known)

    @contextmanager
    def sign_up(self, address: str) -> Iterator[None]:
        """Somebody signs up, which counts as an account that is made until it has failed. Raises RateLimited."""
        now, at = self.clock.now(), neighbourhood(address)
        self._refuse(
            "register", "Too many sign-ups from this address",
            self.sign_ups.wait_s(at, now), self.made.wait_s(at, now),
        )  # fmt: skip
        self.sign_ups.add(at, now)
        self.made.add(at, now)
        try:
            yield
        except BaseException as error:
            self.made.take_back(at, now)
            if isinstance(error, Overloaded):  # nothing was looked at
                self.sign_ups.take_back(at, now)
            raise

    def account(self, what: str, account: int) -> None:
        """An account asks for a checkout, a look at a provider key, another login token, or changes an API key. Raises
        RateLimited."""
        now, throttle = self.clock.now(), self.accounts[what]
        self._refuse(what, "Too many of these in a short time", throttle.wait_s(account, now))
        throttle.add(account, now)

    def guessed(self, what: str, address: str) -> float | None:
        """As ports.Throttle says."""
        now, at = self.clock.now(), neighbourhood(address)
        wait_s = self.guesses.wait_s(at, now)
        if wait_s is None:
            self.guesses.add(at, now)
        else:
            self.counted[what] += 1
        return wait_s

    def _refuse(self, what: str, words: str, *waits: float | None) -> None:
        longest = max((wait for wait in waits if wait is not None), default=None)
        if longest is not None:
            self.counted[what] += 1
            wait_s = max(longest, 1.0)
            raise RateLimited(f"{words}. Try again in {ceil(wait_s)}s", retry_after_s=wait_s)
