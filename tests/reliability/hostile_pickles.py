"""Kinds of hostile checkpoints: files of torch.save whose pickle is code, or no dictionary of tensors."""

from __future__ import annotations

from .breaking import Kind
from .hostile_torch import BF16_VIEW, EMBED, SYSTEM, embedding, pickle, records
from .pickles import called, dictionary, named, nested, number, pairs, several, text

CODE = [
    Kind(
        "code for a tensor",
        embedding(SYSTEM),
        "SOURCE/pytorch_model.bin: embed.weight: expected a name and a tensor, found posix.system; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "code for all tensors",
        pickle(SYSTEM),
        "SOURCE/pytorch_model.bin: expected a dictionary of tensors, found posix.system",
        "bin",
    ),
    Kind(
        "code before the tensors",
        pickle(SYSTEM + b"0" + dictionary({EMBED: BF16_VIEW})),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found posix.system in its pickle, which is not run",
        "bin",
    ),
    Kind(
        "code by eval",
        embedding(
            called(named("builtins", "eval"), text("__import__('os').mkdir('evil')"))
        ),
        "SOURCE/pytorch_model.bin: embed.weight: expected a name and a tensor, found builtins.eval; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "code of the converter",
        embedding(called(named("shutil", "rmtree"), text("."))),
        "SOURCE/pytorch_model.bin: embed.weight: expected a name and a tensor, found shutil.rmtree; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "code by a name on the stack",
        embedding(
            text("posix")
            + text("system")
            + b"\x93"
            + several(text("touch evil"))
            + b"R"
        ),
        "SOURCE/pytorch_model.bin: embed.weight: expected a name and a tensor, found posix.system; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "code by INST",
        embedding(b"(" + text("touch evil") + b"iposix\nsystem\n"),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found in its pickle the code 105, with which torch does not pickle",
        "bin",
    ),
    Kind(
        "code in what is set",
        embedding(BF16_VIEW + dictionary({"x": SYSTEM}) + b"b"),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found a pickle that is cut off or broken",
        "bin",
    ),
    Kind(
        "a function that is changed",
        pickle(
            named("torch._utils", "_rebuild_tensor_v2")
            + several(b"N", dictionary({"__defaults__": b")"}))
            + b"b0"
            + dictionary({EMBED: BF16_VIEW})
        ),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found a pickle that is cut off or broken",
        "bin",
    ),
    Kind(
        "a model for its tensors",
        pickle(
            named("__main__", "Net")
            + b")\x81"
            + dictionary({"training": b"\x88"})
            + b"b"
        ),
        "SOURCE/pytorch_model.bin: expected a dictionary of tensors, found __main__.Net",
        "bin",
    ),
    Kind(
        "a program of TorchScript",
        records(
            lambda found: found.update({"constants.pkl": b"", "code/__torch__.py": b""})
        ),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found a program of TorchScript, which is never run",
        "bin",
    ),
]
DICTIONARIES = [
    Kind(
        "a list of tensors",
        pickle(b"](" + BF16_VIEW + b"e"),
        "SOURCE/pytorch_model.bin: expected a dictionary of tensors, found list",
        "bin",
    ),
    Kind(
        "numbers for tensors",
        embedding(number(3)),
        "SOURCE/pytorch_model.bin: embed.weight: expected a name and a tensor, found int; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "tensors in a dictionary in it",
        pickle(dictionary({"model": dictionary({EMBED: BF16_VIEW})})),
        "SOURCE/pytorch_model.bin: model: expected a name and a tensor, found dict; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "a number for a name",
        pickle(pairs([(number(3), BF16_VIEW)])),
        "SOURCE/pytorch_model.bin: 3: expected a name and a tensor, found Tensor; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "a name that hashes for ever",
        pickle(pairs([(nested(60), BF16_VIEW)])),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found in its pickle a tuple for a name",
        "bin",
    ),
    Kind(
        "a dictionary in itself",
        pickle(b"}q\0" + text("a") + b"h\0s"),
        "SOURCE/pytorch_model.bin: a: expected a name and a tensor, found dict; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "lists in lists in lists",
        embedding(b"]" * 300_000 + b"a" * 299_999),
        "SOURCE/pytorch_model.bin: embed.weight: expected a name and a tensor, found list; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "a list for a storage",
        embedding(b"]Q"),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found in its pickle no storage where a record is named",
        "bin",
    ),
    Kind(
        "a name that is there twice",
        pickle(pairs([(text(EMBED), BF16_VIEW), (text(EMBED), BF16_VIEW)])),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found in its pickle `embed.weight`, which stands there twice",
        "bin",
    ),
    Kind(
        "half a character in a pickled name",
        pickle(dictionary({"\ud800": BF16_VIEW})),
        "SOURCE/pytorch_model.bin: expected UTF-8, found 'utf-8' codec can't encode character '\\ud800' in position 2: surrogates not allowed",
        "bin",
    ),
    Kind(
        "a pickled name that runs backwards",
        pickle(dictionary({"\u202ed": number(1)})),
        "SOURCE/pytorch_model.bin: \\u202ed: expected a name and a tensor, found int; save a flat dictionary of tensors",
        "bin",
    ),
    Kind(
        "a pickle that is cut off",
        records(lambda found: found.update({"data.pkl": found["data.pkl"][:-40]})),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found a pickle that is cut off or broken",
        "bin",
    ),
    Kind(
        "a pickle that takes a terabyte",
        embedding(b"\x96" + (2**40).to_bytes(8, "little")),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found in its pickle the code 150, with which torch does not pickle",
        "bin",
    ),
    Kind(
        "a pickle with a set",
        embedding(b"\x8f"),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found in its pickle the code 143, with which torch does not pickle",
        "bin",
    ),
    Kind(
        "a pickle of dictionaries without end",
        records(lambda found: found.update({"data.pkl": b"}" * 2**25})),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found in its pickle more than 4194304 codes",
        "bin",
    ),
    Kind(
        "a pickle of a thousand names",
        pickle(b"".join(named("os", f"n{n}") for n in range(1001))),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found in its pickle os.n1000, and 1000 names before it that no tensor has",
        "bin",
    ),
    Kind(
        "a pickle beyond the limit",
        records(lambda found: found.update({"data.pkl": bytes(2**25 + 1)})),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, with a data.pkl of at most 33554432 bytes, found 33554433",
        "bin",
    ),
]
KINDS = [*CODE, *DICTIONARIES]
