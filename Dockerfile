FROM python:3.11-slim

RUN useradd --uid 1000 --create-home quantum \
    && install --directory --owner quantum --group quantum --mode 700 /var/lib/quantum_trader
ENV PYTHONUNBUFFERED=1
WORKDIR /app

COPY requirements.txt requirements-torch.txt ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.txt \
    && pip install --no-cache-dir --requirement requirements-torch.txt

# A setting that .env.example does not list is refused if it looks misspelt.
COPY .env.example celery_app.py manage.py ./
COPY quantum_trader quantum_trader
COPY rl_training rl_training
COPY dashboard dashboard

USER quantum
