set -eu
P=${P:-dvs-prep}; T=${T:-dvs-train}
$P synth -o DvsGesture.tar.gz --users 3 --lights led --event-rate 3000 --gesture-seconds 0.5
$P -i DvsGesture.tar.gz -T 4 -o cache.h5
$P info cache.h5 --json > cache.info.json
defaults="--cache cache.h5 -T 4 -b 4 --channels 4 --device cpu -j 1 --v-threshold 0.1"
options="--cache cache.h5 -b 4 --channels 3 --hidden 20 --linear-bias --device cpu -j 1 --opt SGD --momentum 0.8 --lr 0.05
  --lr-scheduler StepLR --step-size 2 --gamma 0.5 --neuron plif --tau 3 --v-threshold 0.05 --v-reset none --surrogate sigmoid
  --flip 0.5 --drop-events 0.1 --keep-frames 3 --seed 7 --test-batch-size 3 --validation users:1"
for run in defaults options; do
  $T ${!run} --epochs 3 --out-dir $run
  cp $run/*/checkpoint_latest.safetensors $run.safetensors
  cp $run/*/settings.json $run.settings.json
  basename $run/*/ > $run.folder
  $T eval --checkpoint $run.safetensors --cache cache.h5 --device cpu --json > $run.eval.json
  $T predict cache.h5 --checkpoint $run.safetensors --sample user03_led_0@3 --device cpu --json > $run.predict.json
  $T export $run.safetensors --to safetensors -o $run.exported.safetensors
  $T --resume $run/* --epochs 5
  cp $run/*/checkpoint_latest.safetensors $run.resumed.safetensors
done
