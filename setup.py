"""Install the `vqe` package; requirements.txt pins the versions the tests run with."""

from setuptools import find_packages, setup

DASK = ["distributed>=2024.1"]
TEST = [
    "html5lib>=1.1",
    "httpx>=0.27",
    "imageio-ffmpeg>=0.8",
    "mypy>=2.4",
    "playwright>=1.48",
    "pytest>=8",
    "pytest-xdist>=3.8",
    "ruff>=0.15",
    "statsmodels>=0.14.4",
    *DASK,
]
# the sweeper's Optuna 2.10 keeps studies with no later ones
SWEEP = ["hydra-optuna-sweeper>=1.3", "sqlalchemy>=1.4.50,<2", "alembic>=1.13,<1.17"]
RATINGS = [
    "httptools>=0.6.1",
    "psycopg2-binary>=2.9.9",
    "scipy>=1.14",
    "sqlalchemy>=1.4.50",
    "starlette>=0.40",
    "uvicorn>=0.30",
    'uvloop>=0.21; sys_platform != "win32"',
]
EXPORT = ["onnx>=1.17", "onnxruntime>=1.20", "onnxscript>=0.7"]

COMMANDS = [
    "vqe-build = vqe.dataset_builder:main",
    "vqe-download = vqe.download:main",
    "vqe-enhance = vqe.enhance:main",
    "vqe-live = vqe.live:main",
    "vqe-merge = vqe.merge_results:main",
    "vqe-ratings = vqe.ratings:main",
    "vqe-report = vqe.report:main",
    "vqe-score = vqe.score_videos:main",
    "vqe-submission = vqe.submission:main",
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
        "jinja2>=3.1",
        "joblib>=1.5",
        "numpy>=1.26",
        "omegaconf>=2.3",
        "opencv-python-headless>=4.9",
        "pandas>=2.2",
        "pillow>=10.1",
        "pytorch-lightning>=2.6",
        "safetensors>=0.4",
        "tensorboard>=2.15",
        "timm>=1.0.11",
        "torch>=2.11",
        "torchmetrics>=1.6",
        "torchvision>=0.26",
        "tqdm>=4.66",
    ],
    package_data={
        "vqe": ["py.typed"],
        "vqe.browser": ["pages/*"],
        "vqe.conf": ["*.yaml", "*/*.yaml"],
        "vqe.critics": ["standin.safetensors"],
        "vqe.models": ["weights/*.safetensors"],
        "vqe.reporting": ["pages/*", "vendor/*"],
        "vqe.subjective": ["pages/*"],
    },
    extras_require={
        "dask": DASK,
        "export": EXPORT,
        "ratings": RATINGS,
        "slurm": ["hydra-submitit-launcher>=1.2"],
        "sweep": SWEEP,
        "test": TEST + EXPORT + RATINGS + SWEEP,
    },
)
