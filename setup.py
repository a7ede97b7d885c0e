"""Only what pyproject.toml cannot say: kernels/ is installed as minipar.kernels."""

from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["minipar", "minipar.*"])
    + ["minipar.kernels"]
    + [f"minipar.kernels.{name}" for name in find_packages("kernels")],
    package_dir={"minipar.kernels": "kernels"},
    package_data={"minipar": ["py.typed"], "minipar.data": ["files/*"]},
)
