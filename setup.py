"""The optional C kernels; everything else is in pyproject.toml. Without a compiler the pure Python paths serve."""

from setuptools import Extension, setup

setup(
    ext_modules=[
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
