from typing import Any

from benchmarks.report import render


def row(contender: str, median: float, ratio: float, settings: str = "") -> dict[str, Any]:
    return {
        "contender": contender,
        "ms": {
            "lower_quartile": median - 0.5,
            "median": median,
            "upper_quartile": median + 0.5,
        },
        "vdprune_over_it": ratio,
        "peak_mb": 12.6,
        "settings": settings or f"those of {contender}",
        "blas": "MKL, AVX2" if "eager" in contender else "openblas 0.3, Haswell",
        "versions": {"numpy": "2.4"} if contender == "vdprune" else {"torch": "2.13"},
    }


RESULTS = {
    "machine": {
        "processor": "Some Processor",
        "processors": 2,
        "load": 0.125,
        "system": "Linux",
        "environment": {"OPENBLAS_CORETYPE": "Haswell"},
    },
    "options": {"batch": 100, "rounds": 3, "threads": 2, "steps": {"lenet300": 7, "lenet5": 5}},
    "networks": {
        "lenet300": [row("vdprune", 2, 1), row("cplxmodule eager", 8, 0.25), row("floor", 1, 2)],
        "lenet5": [
            row("vdprune", 30, 1),
            row("cplxmodule eager", 1234.5, 0.5, "channels last"),
        ],
    },
    "recipe": [
        {
            "contender": "vdprune",
            "network": "lenet300",
            "epochs": 200,
            "steps": 120_000,
            "seconds": 240.4,
            "error": 1.8,
            "compression": 104.2,
            "best_peer": "cplxmodule eager",
            "best_peer_seconds": 960.0,
            "vdprune_over_it": 0.25,
        }
    ],
}


def test_table() -> None:
    lines = render(RESULTS).splitlines()
    assert lines[:6] == [
        "network   contender              ms per step       (quartiles)  vdprune / it  peak MB",
        "lenet300  vdprune                       2.00    (1.50 to 2.50)                     13",
        "lenet300  cplxmodule eager              8.00    (7.50 to 8.50)          0.25       13",
        "lenet300  matrix products alone         1.00    (0.50 to 1.50)          2.00       13",
        "lenet5    vdprune                      30.00  (29.50 to 30.50)                     13",
        "lenet5    cplxmodule eager              1234    (1234 to 1235)          0.50       13",
    ]


def test_the_peers_time_for_the_recipe_is_said_to_be_computed() -> None:
    text = render(RESULTS)
    assert "  240 s, error 1.80 %, compression 104.2x\n" in text
    assert "computed from its steps alone (8.00 ms x 120,000):\n  960 s; vdprune / it 0.25" in text


def test_without_the_recipe_nothing_is_said_of_it() -> None:
    assert "recipe" not in render({**RESULTS, "recipe": []})


def test_conditions() -> None:
    lines = render(RESULTS).splitlines()
    assert "machine: Some Processor, 2 processors, load before: 0.12" in lines
    assert "environment of the BLAS libraries: OPENBLAS_CORETYPE=Haswell" in lines
    assert "versions: numpy 2.4, torch 2.13" in lines
    assert "matrix products of vdprune, floor: openblas 0.3, Haswell" in lines
    assert "matrix products of cplxmodule eager: MKL, AVX2" in lines
    assert "  vdprune: those of vdprune" in lines
    assert "  cplxmodule eager (lenet300): those of cplxmodule eager" in lines
    assert "  cplxmodule eager (lenet5): channels last" in lines
