#!/bin/bash
# Tries in a clone, on a Mac, what no other machine can show: Metal, the Keychain, both runtimes, the wheel. Prints one
# report and keeps it in build/verify/report.txt.
#
#   packaging/macos/verify.sh             all of it: half an hour the first time, most of it the tests
#   packaging/macos/verify.sh --quick     without the tests and the wheel, and with short measurements
#   packaging/macos/verify.sh --dry-run   shows what would be run, and runs nothing
#
# PYTHON=python3.12 chooses the Python of a new environment. The owner's memory is not opened: the program works in
# build/verify. The report holds versions, figures, and which step passed; names of people and folders are taken out. It is
# sent to nobody. Written for bash 3.2, which is the one that macOS has.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
work=$root/build/verify
report=$work/report.txt
python=.venv/bin/python
secondme=.venv/bin/secondme
check=packaging/macos/check.py
quick=0
small=
dry=0
n_failed=0

for word in "$@"; do
  case $word in
    --quick) quick=1 small=--quick ;;
    --dry-run) dry=1 ;;
    *)
      echo "error: $word is not an option" >&2
      echo "hint: use: packaging/macos/verify.sh [--quick] [--dry-run]" >&2
      exit 2
      ;;
  esac
done

# A line for the terminal and the report, without what tells whose machine it is.
tell() {
  printf '%s\n' "$1" | sed -e "s|$root|.|g" -e "s|$HOME|~|g" -e "s|/$(id -un)/|/owner/|g" | tee -a "$report"
}

# step NAME COMMAND...: runs it; what it prints goes into the report, what it says on stderr into a log beside it.
step() {
  local name=$1 started=$SECONDS line verdict=pass
  shift
  if [ "$dry" = 1 ]; then
    printf '%s\t' "$name"
    printf '%q ' "$@"
    printf '\n'
    return 0
  fi
  "$@" >"$work/$name.out" 2>"$work/$name.log" 3<"$work/passphrase" || verdict=FAIL
  tell "$verdict  $name ($((SECONDS - started)) s)"
  while IFS= read -r line; do
    tell "        $line"
  done <"$work/$name.out"
  if [ "$verdict" = FAIL ]; then
    n_failed=$((n_failed + 1))
    tell "        the last it said is in build/verify/$name.log"
    return 1
  fi
}

# The counts and the names of what failed, without the messages, which hold paths.
tests() {
  local status
  "$python" -m pytest -q --tb=short -rf >"$work/pytest.log" 2>&1
  status=$?
  sed -n -e 's/^\(FAILED [^ ]*\).*/\1/p' -e '$p' "$work/pytest.log"
  return $status
}

# ask BACKEND: the question that one of the sample files answers.
ask() {
  "$secondme" ask "What is the boat of the harbour master called?" --backend "$1" --json --key-fd 3 >"$work/answer.json" &&
    "$python" "$check" answer "$work/answer.json"
}

if [ "$dry" = 0 ]; then
  rm -rf "$work"
  mkdir -p "$work" || exit 1
  # Of a memory that is made here, holds three invented files, and is deleted at the end.
  echo "verify $RANDOM$RANDOM$RANDOM" >"$work/passphrase"
  : >"$report"
  if [ "$(uname -s)" != Darwin ]; then
    tell "notice: this is no Mac; what only a Mac has will fail"
  fi
fi

if ! step setup "${PYTHON:-python3}" packaging/bootstrap.py --dev; then
  tell "nothing else can run without that"
  exit 1
fi
if [ "$dry" = 0 ]; then
  # The models stay where the owner's are; all else is new.
  SECONDME_MODELS=$("$python" -c 'from secondme.paths import models_dir; print(models_dir())')
  export SECONDME_MODELS SECONDME_HOME="$work/home"
  mkdir -p "$work/home/config"
  # A small model's answers are quoted otherwise, without a word of the model's.
  echo 'answers = "write"' >"$work/home/config/config.toml"
fi

step facts "$python" "$check" facts
step metal "$python" "$check" metal
step llama "$python" "$check" llama
step keychain "$python" "$check" keychain
step doctor "$python" "$check" doctor
step samples "$python" "$check" samples "$work/samples"
step add "$secondme" add "$work/samples" --key-fd 3
if [ "$dry" = 1 ]; then
  step ask-mlx "$secondme" ask QUESTION --backend mlx --json --key-fd 3
  step ask-llama "$secondme" ask QUESTION --backend llama.cpp --json --key-fd 3
else
  step ask-mlx ask mlx
  step ask-llama ask llama.cpp
fi
step bench-runtime-mlx "$secondme" bench runtime --backend mlx ${small:+"$small"}
step bench-runtime-llama "$secondme" bench runtime --backend llama.cpp ${small:+"$small"}
step paragraphs "$python" "$check" paragraphs "$work/paragraphs.json"
step bench-cartridges-mlx "$secondme" bench cartridges --backend mlx --xquad "$work/paragraphs.json" \
  --documents 1 --tokens 400 --tiers T0,T1
step bench-crossing "$secondme" bench cartridges --backend mlx --cross --xquad "$work/paragraphs.json" \
  --documents 1 --tokens 400 --tiers T0
if [ "$quick" = 0 ]; then
  if [ "$dry" = 1 ]; then
    step tests "$python" -m pytest -q
  else
    step tests tests
  fi
  # The wheel of the model runtime is in the owner's cache.
  step wheel env -u SECONDME_HOME "$python" packaging/check_dist.py --quick
fi

if [ "$dry" = 0 ]; then
  rm -rf "${work:?}/home" "$work/samples" "$work/passphrase" "$work/answer.json"
  if [ "$n_failed" = 0 ]; then
    tell "everything passed"
  else
    tell "$n_failed steps failed"
  fi
  echo "the report is build/verify/report.txt; read it before you send it to anybody" >&2
fi
[ "$n_failed" = 0 ]
