"""Install the `vqe` package; requirements.txt pins the versions the tests run with."""

from setuptools import find_packages, setup

DASK = ["distributed>=2024.1"]
TEST = ["imageio-ffmpeg>=0.5", "pytest>=8", "pytest-xdist>=3.8", "ruff>=0.6", *DASK]
# the sweeper's Optuna 2.10 keeps studies with no later ones
SWEEP = ["hydra-optuna-sweeper>=1.3", "sqlalchemy<2", "alembic<1.17"]
EXPORT = ["onnx>=1.16", "onnxruntime>=1.20", "onnxscript>=0.3"]

COMMANDS = [
    "vqe-build = vqe.dataset_builder:main",
    "vqe-download = vqe.download:main",
    "vqe-enhance = vqe.enhance:main",
    "vqe-score = vqe.score_videos:main",
    "vqe-synthesize = vqe.synthesize:main",
    "vqe-test = vqe.test_vqe:main",
    "vqe-train = vqe.train_vqe:main",
    "vqe-train-vqa = vqe.train_vqa:main",
]

setup(
    name="vqe",
    version="0.1.0",
    description="Video quality enhancement for video conferencing",
    license="MIT",
    python_requires=">=3.10",
    packages=[*find_packages(include=["vqe", "vqe.*"]), "vqe.conf"],
    package_dir={"vqe.conf": "conf"},
    entry_points={"console_scripts": COMMANDS},
    install_requires=[
        "av>=17.1",
        "filelock>=3.10",
        "hydra-core>=1.3",
        "joblib>=1.4",
        "numpy>=1.26",
        "omegaconf>=2.3",
        "opencv-python-headless>=4.9",
        "pandas>=2.2",
        "pillow>=10",
        "pytorch-lightning>=2.4",
        "safetensors>=0.4",
        "tensorboard>=2.15",
        "torch>=2.11",
        "torchmetrics>=1.3",
        "torchvision>=0.26",
        "tqdm>=4.66",
    ],
    package_data={
        "vqe": ["py.typed"],
        "vqe.conf": ["*.yaml", "*/*.yaml"],
        "vqe.critics": ["standin.safetensors"],
    },
    extras_require={"dask": DASK, "export": EXPORT, "sweep": SWEEP, "test": TEST + EXPORT + SWEEP},
)
