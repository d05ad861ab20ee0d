"""The optional C code; everything else is in pyproject.toml. Without a compiler the pure Python paths serve."""

from pathlib import Path

from setuptools import Extension, setup

_SCAN = Path("circuit_io/csrc")

setup(
    ext_modules=[
        Extension(
            "circuit_io._scan",
            sources=sorted(map(str, _SCAN.glob("*.c"))),
            depends=sorted(map(str, _SCAN.glob("*.h"))),
            extra_compile_args=["-O3", "-std=c11", "-ffp-contract=off", "-fvisibility=hidden"],
            optional=True,
        ),
        Extension(
            "gsr_plugin._kernels",
            sources=["gsr_plugin/csrc/kernels.c"],
            depends=["gsr_plugin/csrc/kernels_isa.h"],
            extra_compile_args=[
                "-O3",
                "-std=c11",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-Wno-psabi",
            ],
            optional=True,
        ),
    ]
)
