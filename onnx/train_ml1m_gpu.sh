#!/usr/bin/env bash
# Train the ML-1M benchmark model on a GPU: d 256, masked full softmax, bfloat16, three seeds.
#
#   onnx/train_ml1m_gpu.sh SPLIT RUNS [SEED...]
#
# SPLIT is the folder with train.txt.gz, val_input.txt.gz and val_output.txt; RUNS gets one run folder a seed.
# A call ends by itself after LIMIT seconds (500); call it again with the same arguments until it says "done", with the
# mean of the seeds: every seed resumes at its last whole epoch. EPOCHS (40) is fixed in advance, because the rate
# decays to zero at it. DIMENSION (256) is for trying the script out on a small machine.
set -euo pipefail

split=$1 runs=$2
shift 2
seeds=("${@:-0 1 2}")
read -ra seeds <<<"${seeds[*]}"
deadline=$((SECONDS + ${LIMIT:-500}))
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-python3}
terms="MovieLens: research use, no commercial use, no endorsement by the University of Minnesota"

for seed in "${seeds[@]}"; do
  left=$((deadline - SECONDS))
  if ((left < 20)); then
    echo "time is up before seed $seed; call again"
    exit 0
  fi
  status=0
  timeout "$left" "$python" -m marquee_onnx train "$split" --output "$runs/seed-$seed" --seed "$seed" \
    --name "ML-1M" --terms "$terms" --dimension "${DIMENSION:-256}" --heads 2 --blocks 2 --maximum-length 200 --dropout 0.5 \
    --loss softmax --negatives 0 --exclude past --random-windows 0.5 \
    --epochs "${EPOCHS:-40}" --batch-tokens 2048 --rate 2e-3 --validate-every 8 || status=$?
  if ((status == 124)); then
    echo "time is up within seed $seed; call again"
    exit 0
  fi
  ((status == 0)) || exit "$status"
done
for seed in "${seeds[@]}"; do
  "$python" -m marquee_onnx evaluate "$runs/seed-$seed" --data "$split" --json | tee "$runs/seed-$seed/judged.json"
done
"$python" - "${seeds[@]/#/$runs/seed-}" <<'PYTHON'
import json, pathlib, statistics, sys

judged = [json.loads((pathlib.Path(folder) / "judged.json").read_text()) for folder in sys.argv[1:]]
for name in ("ndcg@10", "recall@1", "recall@10"):
    print(f"mean {name} of {len(judged)} seeds: {statistics.mean(one[name] for one in judged):.4f}")
PYTHON
echo "done"
