#!/usr/bin/env bash
# Imports a folder of the SVAMP files released with arXiv:2502.18001; level and format are in their names.
# Usage: bash docs/import_svamp.sh DIRECTORY CORPUS
set -euo pipefail
from=${1:?directory with SVAMP_gemini_level1_ranked.json and the others} corpus=${2:?corpus to write}

bring() { # teacher, then files
  local teacher=$1
  shift
  cotmill import "$@" --teacher "$teacher" --answers "$from/SVAMP_only_ans.json" --out "$corpus"
}

bring gpt-4o "$from"/SVAMP_ChatGPT_level*_ranked.json "$from"/0_SVAMP_chatgpt_level*.json
bring gemini-1.5-flash "$from"/SVAMP_gemini_level*_ranked.json
bring human "$from/svamp_human_annotation.json" --format equation
bring answer-only "$from/SVAMP_only_ans.json" --format answer_only
# All 1,000 questions: the bare answer again, and the 300 test questions, which the answer-only file does not hold.
if [ -e "$from/svamp_all_1000.jsonl" ]; then bring svamp "$from/svamp_all_1000.jsonl" --format answer_only; fi
cotmill sql "$corpus" "select teacher, format, granularity, count(*) as traces, count(gold) as with_gold
  from traces group by all order by all"
