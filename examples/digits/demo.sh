#!/usr/bin/env bash
# The demo from a user's end: a Kubernetes, the images, the chart, one Evaluation, its table.
# Where no cluster may be started it says why and runs the same Evaluation in this process.
set -euo pipefail
cd "$(dirname "$0")/../.."
interplay=.venv/bin/interplay
manifest=examples/digits/evaluation.yaml

set +e
python3 -m cluster up
code=$?
set -e
if [ "$code" -eq 3 ]; then
    echo "running the same Evaluation without a cluster"
    exec "$interplay" run "$manifest"
elif [ "$code" -ne 0 ]; then
    exit "$code"
fi

export KUBECONFIG="$PWD/.cluster/kubeconfig" PATH="$PWD/.cluster/bin:$PATH"
cluster/install.sh
kubectl apply -f "$manifest"

deadline=$((SECONDS + 1800))
shown=
until kubectl wait --for=condition=Complete evaluation/digits --timeout=2s >/dev/null 2>&1; do
    now=$(kubectl get evaluation digits -o 'jsonpath={.status.summary}')
    [ "$now" = "$shown" ] || echo "models finished: ${now:-none yet} (${SECONDS} s)"
    shown=$now
    failed=$(kubectl get evaluation digits -o 'jsonpath={.status.conditions[?(@.type=="Failed")].status}')
    [ "$failed" != True ] || break
    [ "$SECONDS" -lt "$deadline" ] || { echo "no result after 30 minutes" >&2; exit 1; }
done
kubectl get evaluations,modelruns
"$interplay" results digits
