"""Files of networks that run code when a default loader reads them, or that are no sound networks."""

import base64
import io
import json
import pickle
import struct
import tarfile
import warnings
import zipfile

import torch
from bad_pickles import CODE, Reduced, table
from bad_weights import bad_weights

ROUTES_IN_ZIPS = ("global", "stack_global_from_memory", "inst", "obj", "newobj", "build", "ext1", "binpersid", "eval")


class Donor:
    """A sound network's file, to make bad copies of it.

    Args:
        content: What stable-baselines3 wrote.
        weights: Whether its weights are needed, and can be read.
    """

    def __init__(self, content, weights=True):
        self.content = content
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        if weights:
            self.weights = torch.load(io.BytesIO(self.members["policy.pth"]), weights_only=True)

    def zip(self, compression=zipfile.ZIP_STORED, **changes):
        """Return the file with members changed, added, or left out (`None`); a dot in a name is written `__`."""
        changes = {name.replace("__", "."): content for name, content in changes.items()}
        return zipped([(n, c) for n, c in (self.members | changes).items() if c is not None], compression)

    def with_settings(self, **settings):
        """Return the file with other settings."""
        return self.zip(data=json.dumps(json.loads(self.members["data"]) | settings))

    def with_pickle(self, content, key="note"):
        """Return the file with a pickle in a setting, which the default loader unpickles."""
        return self.with_settings(**{key: {":type:": "x", ":serialized:": base64.b64encode(content).decode()}})

    def with_weights(self, weights):
        """Return the file with other weights."""
        return self.zip(policy__pth=saved(weights))

    def with_member_of(self, member, **changes):
        """Return the file with a member of one of its `.pth` files changed or added."""
        return self.zip(**{member: repacked(self.members[member], **changes)})


def zipped(members, compression=zipfile.ZIP_STORED):
    """Return a zip of names and contents; a name may come twice."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore", UserWarning)  # of names that come twice
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def saved(value, **options):
    """Return what torch writes for a value."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def repacked(content, **changes):
    """Return a file of torch with members of its folder changed or added; `/` in a name is written `_in_`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    named = {f"archive/{name.replace('_in_', '/').replace('__', '.')}": change for name, change in changes.items()}
    return zipped((members | named).items())


def hostile_zips(donors, folder_of):
    """Yield names and contents of zips with code in them.

    Args:
        donors: Sound networks, by algorithm.
        folder_of: Returns the folder that the payload of a name would make, as text.
    """
    for algorithm, donor in donors.items():
        for place in ("data", "policy.pth", "policy.optimizer.pth", "pytorch_variables.pth"):
            for route in ROUTES_IN_ZIPS:
                name = f"{algorithm}_code_in_{place}_by_{route}.zip"
                code = CODE[route](folder_of(name))
                spoiled = donor.with_pickle(code) if place == "data" else donor.with_member_of(place, data__pkl=code)
                yield name, spoiled
    donor = donors["ppo"]
    wrappings = {
        "policy_class": lambda code: donor.with_pickle(code, "policy_class"),
        "learning_rate": lambda code: donor.with_pickle(code, "learning_rate"),
        "observation_space": lambda code: donor.with_pickle(code, "observation_space"),
        "data_itself": lambda code: donor.zip(data=code),
        "policy_itself": lambda code: donor.zip(policy__pth=code),
        "system_info": lambda code: donor.zip(system_info__txt=code),
        "version": lambda code: donor.zip(_stable_baselines3_version=code),
        "another_member": lambda code: donor.zip(extra__pkl=code),
        "another_member_of_policy": lambda code: donor.with_member_of("policy.pth", extra__pkl=code),
        "the_zip_itself": lambda code: code,
        "front_of_the_zip": lambda code: code + donor.content,
        "end_of_the_zip": lambda code: donor.content + code,
        "tar_of_old_torch": lambda code: donor.zip(policy__pth=tarred(code)),
        "old_torch": lambda code: donor.zip(
            policy__pth=pickle.dumps(0x1950A86A20F9469CFC6C) + pickle.dumps(1001) + pickle.dumps({}) + code
        ),
        "torchscript": lambda code: donor.zip(
            policy__pth=repacked(donor.members["policy.pth"], constants__pkl=code, code_in_x__py=b"import os")
        ),
    }
    for place, wrap in wrappings.items():
        name = f"code_in_{place}.zip"
        yield name, wrap(CODE["exec"](folder_of(name)))
    for place in ("data", "policy.pth", "policy.optimizer.pth"):
        name = f"code_in_{place}_zipped_anew.zip"
        code = CODE["exec"](folder_of(name))
        spoiled = donor.with_pickle(code) if place == "data" else donor.with_member_of(place, data__pkl=code)
        yield name, zipped([(f"ppo/{n}", c) for n, c in _members(spoiled)], zipfile.ZIP_DEFLATED)
    name = "code_in_a_model_of_another_learner.zip"
    code = base64.b64encode(CODE["exec"](folder_of(name))).decode()
    policy = {"__module__": "sb3_contrib.ars.policies", ":serialized:": code}
    yield name, donor.with_settings(policy_class=policy)
    name = "code_in_a_made_function.zip"
    yield name, donor.with_pickle(CODE["function_by_value"](folder_of(name)))
    name = "code_in_extra_weights.zip"
    yield name, donor.with_weights(donor.weights | {"x": Reduced(exec, f"import os; os.mkdir({folder_of(name)!r})")})


def tarred(code):
    """Return a tar in the format of old versions of torch."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            entry = tarfile.TarInfo(name)
            entry.size = len(code)
            archive.addfile(entry, io.BytesIO(code))
    return buffer.getvalue()


def broken_zips(donors):
    """Yield names and contents of zips that are no sound networks and run no code."""
    for algorithm, donor in donors.items():
        whole = donor.content
        for percent in (0, 1, 5, 10, 25, 50, 75, 90, 99):
            yield f"{algorithm}_cut_at_{percent}_percent", whole[: max(len(whole) * percent // 100, 3)]
        yield f"{algorithm}_cut_by_a_byte", whole[:-1]
        start = whole.index(donor.members["policy.pth"])
        for offset in (100, 3_000, 20_000):
            yield f"{algorithm}_bit_flipped_at_{offset}", flipped(whole, start + offset)
        for kind, weights in bad_weights(donor.weights):
            yield f"{algorithm}_{kind}", donor.with_weights(weights)
        yield f"{algorithm}_without_data", donor.zip(data=None)
        yield f"{algorithm}_without_policy", donor.zip(policy__pth=None)
    donor = donors["ppo"]
    members = list(donor.members.items())
    policy = donor.members["policy.pth"]
    yield "empty", b""
    yield "zip_of_nothing", zipped([])
    yield "text", b"a model, honestly\n" * 50
    yield "of_numpy", zipped([("arr_0.npy", b"\x93NUMPY")])
    yield "of_office", zipped([("[Content_Types].xml", b"<xml/>"), ("word/document.xml", b"<xml/>")])
    yield "of_another_learner", donor.zip(actor__optimizer__pth=policy)
    yield "of_torch_alone", policy
    yield "a_q_table", table()
    yield "deflated_tensors", donor.zip(policy__pth=zipped(_members(policy), zipfile.ZIP_DEFLATED))
    yield "bzip2", donor.zip(zipfile.ZIP_BZIP2)
    yield "lzma", donor.zip(zipfile.ZIP_LZMA)
    yield "bomb", zipped([*members, ("bomb", bytes(100 * 2**20))], zipfile.ZIP_DEFLATED)
    yield "bomb_in_policy", donor.zip(policy__pth=zipped([("archive/data/0", bytes(50 * 2**20))], zipfile.ZIP_DEFLATED))
    yield "many_members", zipped([(f"m{place}", b"") for place in range(20_000)])
    yield "claims_to_be_large", claiming(donor.content)
    yield (
        "encrypted",
        donor.content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
    )
    for name in ("../evil", "/tmp/evil", "..\\evil", "C:\\evil", "a/../../evil", "data/", "DATA", "data "):
        yield f"member_{name.encode().hex()}", zipped([*members, (name, b"evil")])
    yield "member_with_nul", zipped([*members, ("data#x", b"evil")]).replace(b"data#x", b"data\0x")
    for name in ("../data.pkl", "archive/../data.pkl", "other/data/0", "archive/data/../0", "archive/data/0/"):
        inner = zipped([*_members(policy), (name, b"evil")])
        yield f"member_of_policy_{name.encode().hex()}", donor.zip(policy__pth=inner)
    for name in donor.members:
        yield f"twice_{name}", zipped([*members, (name, donor.members[name])])
    for name in ("archive/data.pkl", "archive/data/0"):
        yield (
            f"twice_in_policy_{name.replace('/', '_')}",
            donor.zip(policy__pth=zipped([*_members(policy), (name, b"x")])),
        )
    for name, data in {
        "empty": b"",
        "text": b"hello",
        "list": b"[]",
        "number": b"1",
        "utf16": donor.members["data"].decode().encode("utf-16"),
        "nested": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "large": json.dumps({"a": "x" * 3_000_000}).encode(),
        "digits": b'{"a": ' + b"9" * 5_000 + b"}",
        "not_base64": b'{"a": {":serialized:": "!!"}}',
        "number_for_pickle": b'{"a": {":serialized:": 5}}',
        "no_pickle": b'{"a": {":serialized:": "AAAA"}}',
    }.items():
        yield f"data_{name}", donor.zip(data=data)
    yield "other_activation", donor.with_settings(policy_kwargs={"activation_fn": "<class 'torch.nn.ELU'>"})
    yield "other_extractor", donor.with_settings(policy_kwargs={"features_extractor_class": "<class 'x.Cnn'>"})
    yield "policy_kwargs_a_list", donor.with_settings(policy_kwargs=[])
    yield "big_endian", donor.with_member_of("policy.pth", byteorder=b"big")
    yield "without_numbers", donor.zip(policy__pth=zipped([m for m in _members(policy) if m[0] != "archive/data/0"]))
    yield "numbers_cut", donor.with_member_of("policy.pth", data_in_0=b"\x00" * 8)
    yield (
        "number_of_numbers",
        donor.with_member_of("policy.pth", data__pkl=_claiming_numbers(_member(policy), 2**31 - 1)),
    )
    yield "policy_as_text", donor.zip(policy__pth=b"weights")
    yield "policy_as_table", donor.zip(policy__pth=table())
    yield "optimizer_as_text", donor.zip(policy__optimizer__pth=b"state")


def _members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _member(content, name="archive/data.pkl"):
    return dict(_members(content))[name]


def _claiming_numbers(pickled, count):
    """Return the pickle of tensors with another number of numbers in the first."""
    place = pickled.index(b"cpuq\x07") + 5
    assert pickled[place : place + 1] == b"M"
    return pickled[:place] + b"J" + struct.pack("<i", count) + pickled[place + 3 :]


def claiming(content):
    """Return a zip whose list of members says that one has four gigabytes."""
    place = content.rindex(b"PK\x01\x02")
    return content[: place + 20] + struct.pack("<II", 2**32 - 2, 2**32 - 2) + content[place + 28 :]


def flipped(content, place):
    """Return a content with one bit flipped."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
