"""Help and mistakes wait for no slow import: held by what is imported, as seconds vary."""

import json
import subprocess
import sys

import pytest

SLOW = ("cv2", "onnx", "optuna", "pandas", "pytorch_lightning", "scipy", "torch", "torchvision")
# runs one command after the other in one process: what each ended with, said and imported so far
RUN = f"""
import contextlib, importlib, io, json, sys
main = importlib.import_module(f"vqe.{{sys.argv[1]}}").main
found = []
for sys.argv[1:] in json.loads(sys.argv[2]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            status = end.code
    found.append((status, said.getvalue(), [name for name in {SLOW} if name in sys.modules]))
print(json.dumps(found))
"""
CSV = "dataset.path={folder}"
CRITICS = ("model_vqa.weights=untrained", "model_dover=off")
MISSING = {  # what is not there, and what must be said
    "dataset_builder": [],
    "download": [],
    "report": [
        (
            ("runs=nowhere",),
            "metrics_supervised.csv or metrics_unsupervised.csv in nowhere/",
        ),
        (("runs=a,b,c",), "expected runs to be one folder or two, got 3"),
    ],
    "score_videos": [
        (("input=nowhere",), "expected input to be a video or a folder, got nowhere"),
        (("input={folder}", "reference=nowhere"), "expected reference to be a video or a folder"),
        (("input={folder}", "model_dover.weights=no.pth"), "DOVER.pth, got no file no.pth"),
    ],
    "synthesize": [(("source=nowhere", "data.source_dir=x"), "expected source to be a video")],
    "test_vqe": [
        (("checkpoint=no.ckpt", CSV, *CRITICS), "expected a checkpoint at no.ckpt, got nothing"),
        (("checkpoint={file}", "dataset.path=nowhere", *CRITICS), "frame CSV at nowhere/test.csv"),
        (("checkpoint={file}", CSV, "model_vqa.weights=no.ckpt"), "VQA.ckpt, got no file no.ckpt"),
    ],
    "train_vqa": [
        (("source=nowhere",), "expected source to be a video or a folder, got nowhere"),
        (("pairs=nowhere.csv",), "expected a CSV of rated pairs at nowhere.csv"),
    ],
    "train_vqe": [
        (("dataset.path=nowhere", *CRITICS), "expected a frame CSV at nowhere/train.csv"),
        ((CSV, *CRITICS, "dataset.valid=no.csv"), "no.csv, got nothing. Make it with"),
        ((CSV, "model_dover=off"), "expected model_vqa.weights to name VQA.ckpt, got null"),
        (
            (CSV, CRITICS[0], "model_dover=mobile", "model_dover.weights=no"),
            "DOVER-Mobile.pth, got",
        ),
        ((CSV, *CRITICS, "init_from=no.ckpt"), "expected a checkpoint at no.ckpt"),
        ((CSV, *CRITICS, "resume_from=no.ckpt"), "expected a checkpoint at no.ckpt"),
    ],
}
ANY_ENTRY = [(("--help",), "powered by Hydra"), (("--cfg=job",), "paths:"), (("tpyo=1",), "tpyo")]


@pytest.mark.parametrize("entry", MISSING)
def test_help_and_mistakes_are_told_before_anything_slow_is_imported(entry, tmp_path):
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).touch()
    places = {"folder": tmp_path, "file": tmp_path / "train.csv"}
    cases = ANY_ENTRY + MISSING[entry]
    commands = [[word.format(**places) for word in words] for words, _ in cases]
    process = [sys.executable, "-c", RUN, entry, json.dumps(commands)]
    done = subprocess.run(process, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    for (words, expected), (status, said, imported) in zip(cases, found, strict=True):
        assert expected in said, words
        assert status == (0 if words[0] in ("--help", "--cfg=job") else 2), words
        assert imported == [], words
        assert "Traceback" not in said, words
