"""Payments: what would credit twice, too much, or nothing."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "a refund told again is taken again",
        "ftgate/core/payments.py",
        "change = take - before.taken",
        "change = take if take else -before.taken",
        "tests/core/test_payments.py",
    ),
    Plant(
        "what is not as we asked is credited",
        "ftgate/core/payments.py",
        "if wrong := differs(payment, session):",
        "if session.amount is None and (wrong := differs(payment, session)):",
        "tests/core/test_payments.py",
    ),
    Plant(
        "a failure told late beats the money that came",
        "ftgate/core/payments.py",
        'if session.payment_status == "paid":',
        'if session.payment_status == "paid" and not told.failed:',
        "tests/core/test_payments.py",
    ),
    Plant(
        "a dispute that was won is not given back",
        "ftgate/core/payments.py",
        '_NOT_TAKEN = {"won", ',
        "_NOT_TAKEN = {",
        "tests/core/test_payments.py",
    ),
    Plant(
        "an event from the future is taken",
        "ftgate/accounts/signed.py",
        "if abs(now_s - int(times[0])) > TOLERANCE_S:",
        "if now_s - int(times[0]) > TOLERANCE_S:",
        "tests/accounts/test_signed.py",
    ),
    Plant(
        "each try makes a session of its own",
        "ftgate/accounts/stripe.py",
        'options = {"idempotency_key": payment.id}',
        "options: dict[str, str] = {}",
        "tests/accounts/test_payments.py",
    ),
    Plant(
        "readings of one payment overtake each other",
        "ftgate/accounts/applying.py",
        "            async with lock:\n                yield",
        "            yield",
        "tests/accounts/test_payments.py::test_an_older_answer_that_comes_late_undoes_nothing",
    ),
    Plant(
        "who finds it decided does not wait for it to be written",
        "ftgate/accounts/applying.py",
        "batch = self._unwritten.get(id)",
        "batch = self._unwritten.pop(id, None)",
        "tests/accounts/test_payments.py::test_nobody_is_answered_before_it_is_written",
    ),
    Plant(
        "a start forgets all payments",
        "ftgate/accounts/__init__.py",
        "        self.payment_rows.load(connection)\n",
        "",
        "tests/accounts/test_payments.py",
    ),
    Plant(
        "a payer may be sent to another port",
        "ftgate/accounts/returning.py",
        "return scheme, host, port if port is not None else _PORTS[scheme]",
        "return scheme, host, _PORTS[scheme]",
        "tests/accounts/test_returning.py",
    ),
    Plant(
        "an operator's no holds until the next event",
        "ftgate/core/payments.py",
        "if payment.credited or payment.resolved or",
        "if payment.credited or",
        "tests/core/test_payments.py",
    ),
    Plant(
        "what goes back whole in another currency is left to who has it",
        "ftgate/core/payments.py",
        "if charge.amount and charge.refunded + cents >= charge.amount:",
        "if charge.amount and not foreign and charge.refunded + cents >= charge.amount:",
        "tests/core/test_payments.py",
    ),
    Plant(
        "a charge of less than was credited takes back only what it was",
        "ftgate/core/payments.py",
        "missing = max(payment.amount - refunded - disputed, 0)",
        "missing = max(payment.amount - refunded - disputed, 0) if foreign else 0",
        "tests/core/test_payments.py",
    ),
)
