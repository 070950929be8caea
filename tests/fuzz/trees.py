"""Mutations of JSON that keep it valid JSON."""

import json

VALUES = (
    0,
    1,
    -1,
    2,
    255,
    256,
    0.5,
    1.5,
    -0.0,
    1e-9,
    1e308,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
    10**400,
    True,
    False,
    None,
)
VALUES += ("", "0", "é", "\0", "\ud800", [], [[]], {}, [0], {"name": "images"})


def changed(text, random, names=()):
    """Return JSON with one to three of its values changed, dropped, moved or doubled; ValueError if it is none."""
    root = [json.loads(text)]
    for _ in range(random.randint(1, 3)):
        place, key = random.choice(list(_places(root)))
        way = random.randrange(5)
        if way == 0:
            place[key] = random.choice(VALUES)
        elif way == 1 and place is not root:
            del place[key]
        elif way == 2:
            other, name = random.choice(list(_places(root)))
            place[key] = json.loads(json.dumps(other[name]))
        elif way == 3 and isinstance(place, list) and place is not root:
            place.insert(key, place[key])
        elif way == 4 and isinstance(place, dict) and names:
            place[random.choice(names)] = place[key] if random.random() < 0.5 else random.choice(VALUES)
    return json.dumps(root[0], ensure_ascii=random.random() < 0.5).encode(errors="surrogatepass")


def _places(tree):
    """Return every (container, key) in nested lists and dicts; of long lists, only some."""
    keys = list(tree) if isinstance(tree, dict) else range(min(len(tree), 10))
    for key in keys:
        yield tree, key
        if isinstance(tree[key], list | dict):
            yield from _places(tree[key])
