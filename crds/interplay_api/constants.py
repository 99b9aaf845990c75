"""Every label, annotation, reason and limit of the API, each with why it is what it is."""

GROUP = "interplay.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_EVALUATION_UID = f"{GROUP}/evaluation-uid"
"""Children are found by the owner's uid: a name can be used again, a uid cannot."""
LABEL_MODELRUN_UID = f"{GROUP}/modelrun-uid"
LABEL_MANAGED = "app.kubernetes.io/managed-by"
MANAGED_BY = "interplay"
LABEL_ALLOW = f"{GROUP}/allow"
"""A Secret or claim is open to Evaluations only when it carries this label with `evaluation`."""

ANNOTATION_PLAN = f"{GROUP}/plan"
"""On the pod template; the downward API mounts it, so a pod needs no token and no ConfigMap."""
ANNOTATION_EVALUATION = f"{GROUP}/evaluation"
ANNOTATION_MODEL = f"{GROUP}/model"
ANNOTATION_ATTEMPT = f"{GROUP}/attempt"
ANNOTATION_PLAN_DIGEST = f"{GROUP}/plan-digest"
ANNOTATION_GENERATION = f"{GROUP}/generation"
"""The Evaluation's generation that made a ModelRun: who sees an older one must not delete it."""

MAX_PLAN_BYTES = 64 * 1024
"""All annotations of an object together end at 262,144 bytes."""
MAX_TERMINATION_BYTES = 3900
"""The kubelet keeps the last 4,096 bytes of /dev/termination-log; the rest is margin."""
MAX_LOG_LINE = 8 * 1024
MAX_LOG_BYTES = 512 * 1024
MAX_STATUS_RESULT_BYTES = 128 * 1024
"""Above this only ModelRuns hold values; etcd refuses objects of 1.5 MiB."""
MAX_RUN_STATUS_BYTES = 1024 * 1024
"""What a ModelRun's status may hold; above it the write itself would be refused for ever."""
MAX_MODELS = 1000
"""Of one Evaluation, sweeps included: each becomes a ModelRun."""
MAX_CELLS = 256
MAX_DATASETS = 64
MAX_REFERENCE_MODELS = 8
"""Each lies in the memory of the device beside the model that is measured."""
MAX_EVALUATION_NAME = 30
"""<= 30 + 12 of the model + 8 of the digest + attempt keeps Job names under 63."""
MAX_SLUG = 12

EXIT_BAD_MODEL = 64
EXIT_BAD_DATA = 65
EXIT_BAD_PLAN = 66
EXIT_UNSAFE_CHECKPOINT = 67
EXIT_TERMINATED = 143
"""128 + SIGTERM: the runner stopped because it was asked to."""
EXIT_REASONS = {
    EXIT_BAD_MODEL: "BadModel",
    EXIT_BAD_DATA: "BadData",
    EXIT_BAD_PLAN: "BadPlan",
    EXIT_UNSAFE_CHECKPOINT: "UnsafeCheckpoint",
}

PLAN_PATH = "/etc/interplay/plan.json"
TERMINATION_LOG = "/dev/termination-log"
DATA_ROOT = "/data"
OUTPUT_ROOT = "/outputs"
