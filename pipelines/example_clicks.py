"""Writes a made-up click log, for whoever has no file of their own yet.

    python -m pipelines.example_clicks clicks.csv
    python -m pipelines.example_clicks day15.csv 4000 2026-05-15

The first writes 50,000 rows of the days from 1 to 14 May 2026, in the order of
their time, and the same ones each time. A number after the file's name writes
more rows, or fewer; a day after that writes rows of that day. Each day has
some new ads. The odds of a click follow the user, the ad, the pairs of category
and site and of device and hour, and the triples of category, site and device.
"""

import sys

import numpy as np
import pandas as pd

CATEGORIES = ("books", "cars", "food", "games", "sports", "travel")
SITES = ("blog.example", "mail.example", "news.example", "shop.example")
DEVICES = ("desktop", "phone", "tablet")
TAGS = ("gift", "new", "sale", "video")
NUM_USERS, NUM_ADS, NUM_AREAS = 800, 1000, 150
FIRST_DAY, DAY = "2026-05-01", 24 * 3600
# Ads on the first day, and further ones on each day.
OLD_ADS, NEW_ADS = 120, 8


def make_clicks(
    num_rows: int = 50_000, first_day: str = FIRST_DAY, num_days: int = 14
) -> pd.DataFrame:
    """The rows, in the order of their time.

    Args:
        num_rows: int.
        first_day: str. Rows of another day are others, by the same odds.
        num_days: int.
    """
    random = np.random.default_rng(5)
    user_taste = random.normal(0, 0.6, NUM_USERS)
    user_area = random.integers(10_001, 99_950, NUM_AREAS)[
        random.integers(0, NUM_AREAS, NUM_USERS)
    ]
    ad_quality = random.normal(0, 0.6, NUM_ADS)
    ad_category = random.integers(0, len(CATEGORIES), NUM_ADS)
    ad_price = np.round(random.lognormal(3, 1, NUM_ADS), 2)
    fits_site = random.normal(0, 0.9, (len(CATEGORIES), len(SITES)))
    fits_all = random.normal(
        0, 0.7, (len(CATEGORIES), len(SITES), len(DEVICES))
    )
    fits_hour = random.normal(0, 0.5, (len(DEVICES), 24))

    start = pd.Timestamp(first_day)
    random = np.random.default_rng(start.toordinal())
    seconds = np.sort(random.integers(0, num_days * DAY, num_rows))
    user = np.minimum(random.geometric(0.004, num_rows) - 1, NUM_USERS - 1)
    # The newest ads are shown most often.
    day = (start - pd.Timestamp(FIRST_DAY)).days + seconds // DAY
    newest = np.minimum(OLD_ADS + NEW_ADS * day, NUM_ADS - 1)
    ad = np.maximum(newest - random.geometric(0.03, num_rows) + 1, 0)
    site = random.integers(0, len(SITES), num_rows)
    device = random.integers(0, len(DEVICES), num_rows)
    hour = seconds // 3600 % 24
    logit = (
        -2.1
        + user_taste[user]
        + ad_quality[ad]
        + fits_site[ad_category[ad], site]
        + fits_hour[device, hour]
        + fits_all[ad_category[ad], site, device]
    )
    tags = random.random((num_rows, len(TAGS))) < 0.25
    age = pd.Series(random.integers(16, 80, NUM_USERS)[user], dtype="Int64")
    return pd.DataFrame(
        {
            "time": start + pd.to_timedelta(seconds, unit="s"),
            "user_id": 1001 + user,
            "area": user_area[user],
            "age": age.mask(random.random(num_rows) < 0.1),
            "device": np.take(DEVICES, device),
            "site": np.take(SITES, site),
            "ad_id": 1 + ad,
            "category": np.take(CATEGORIES, ad_category[ad]),
            "price": ad_price[ad],
            "tags": ["|".join(np.compress(row, TAGS).tolist()) for row in tags],
            "clicked": (random.random(num_rows) < 1 / (1 + np.exp(-logit))) * 1,
        }
    )


def main() -> None:
    """Write the rows to the file that the command line names."""
    path, *others = sys.argv[1:]
    if len(others) > 1:
        rows = make_clicks(int(others[0]), others[1], num_days=1)
    elif others:
        rows = make_clicks(int(others[0]))
    else:
        rows = make_clicks()
    rows.to_csv(path, index=False)
    print(f"{len(rows):,} rows, {rows.clicked.mean():.1%} clicked: {path}")


if __name__ == "__main__":
    main()
