#!/usr/bin/env bash
# Builds the images and installs the chart with them into the cluster that `python3 -m cluster up` made.
set -euo pipefail
cd "$(dirname "$0")/.."
export KUBECONFIG="$PWD/.cluster/kubeconfig" PATH="$PWD/.cluster/bin:$PATH"
release=interplay namespace=interplay-system

images=$(python3 -m cluster images)
operator=$(sed -n 's/^operator=//p' <<<"$images")
runner=$(sed -n 's/^runner=//p' <<<"$images")

# helm refuses for ever where an earlier install was killed half-way; nothing of value is lost, since
# the definitions, and with them all Evaluations, outlive an uninstall.
if [ -n "$(helm list --namespace "$namespace" --pending --short)" ]; then
    echo "removing an install that was cut off"
    helm uninstall "$release" --namespace "$namespace" --wait >/dev/null
fi
echo "installing the chart"
helm upgrade --install "$release" helm/interplay --namespace "$namespace" --create-namespace \
    --set "image.operator.repository=${operator%@*},image.operator.digest=${operator#*@}" \
    --set "image.runner.repository=${runner%@*},image.runner.digest=${runner#*@}" \
    --wait --timeout 5m >/dev/null
