"""How one would write the service today: FastAPI and LightGBM on uvicorn."""

import os

import lightgbm
import numpy
from fastapi import FastAPI
from pydantic import BaseModel

with open(os.environ["ASSAY_BENCH_TREES"]) as file:
    booster = lightgbm.Booster(model_str=file.read())
app = FastAPI()


class Transactions(BaseModel):
    features: list[float] | list[list[float]]


class Scores(BaseModel):
    scores: list[float]


# `async`: a thread of its own per request, which FastAPI gives to plain functions, is slower here.
@app.post("/predict")
async def predict(transactions: Transactions) -> Scores:
    rows = numpy.atleast_2d(numpy.array(transactions.features, dtype=float))
    return Scores(scores=booster.predict(rows, num_threads=1).tolist())


@app.get("/health")
async def health() -> str:
    return "OK"
