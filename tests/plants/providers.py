"""The catalogue's reader: prices and models as they are shipped and laid over."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "cached tokens keep the old price when only the input's is given",
        "ftgate/providers/catalogue.py",
        "entry if before == base.input else before",
        "before",
        "tests/config/test_catalogue.py",
    ),
    Plant(
        "a price for each request is read as one for each million",
        "ftgate/providers/catalogue.py",
        "parse_usd(row.per_request)",
        "parse_price(row.per_request)",
        "tests/config/test_catalogue.py",
    ),
    Plant(
        "a model's thinking outside its cap is forgotten",
        "ftgate/providers/catalogue.py",
        '"cap_field", "thinking_in_cap", ',
        '"cap_field", ',
        "tests/config/test_settings.py",
    ),
    Plant(
        "a model's own drain is forgotten",
        "ftgate/providers/catalogue.py",
        '"image_tokens", "drain", ',
        '"image_tokens", ',
        "tests/config/test_catalogue.py",
    ),
    Plant(
        "cached tokens are free above a tier's bound",
        "ftgate/providers/catalogue.py",
        'prices.get(name, prices["input"])',
        "prices.get(name, 0)",
        "tests/config/test_catalogue.py",
    ),
    Plant(
        "of two tiers that begin at one bound one is forgotten",
        "ftgate/providers/catalogue.py",
        "low >= high",
        "low > high",
        "tests/config/test_catalogue.py",
    ),
    Plant(
        "a model may write more than its context holds",
        "ftgate/providers/catalogue.py",
        "model.max_output > model.context",
        "model.max_output < 0",
        "tests/config/test_catalogue.py",
    ),
)
