/* What a row costs, one call after another: `single_row COMPILED TREES ROWS FEATURES PASSES` prints, for lleaves' compiled function and for
   LightGBM's fast call for single rows, the nanoseconds per row of the median pass, and the sum of the probabilities of the last one.
   COMPILED is what lleaves compiled, as a shared library; ROWS a file of doubles, row after row. Both take turns, pass by pass. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef void (*forest_root)(double *rows, double *scores, int first, int last);
typedef int (*from_file)(const char *path, int *rounds, void **booster);
typedef int (*fast_init)(void *booster, int kind, int first, int rounds, int type, int32_t width, const char *settings, void **fast);
typedef int (*fast_predict)(void *fast, const void *row, int64_t *length, double *score);

static void *must(void *found, const char *what) {
  if (!found) {
    fprintf(stderr, "single_row: %s\n", what);
    exit(1);
  }
  return found;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

static int rising(const void *left, const void *right) {
  double difference = *(const double *)left - *(const double *)right;
  return (difference > 0) - (difference < 0);
}

int main(int count, char **words) {
  if (count != 6) {
    fprintf(stderr, "single_row COMPILED TREES ROWS FEATURES PASSES\n");
    return 2;
  }
  int width = atoi(words[4]), passes = atoi(words[5]);
  FILE *file = must(fopen(words[3], "rb"), "cannot open the rows");
  fseek(file, 0, SEEK_END);
  long rows = ftell(file) / (long)sizeof(double) / width;
  rewind(file);
  double *values = must(malloc(rows * width * sizeof(double)), "no memory");
  if (fread(values, sizeof(double) * width, rows, file) != (size_t)rows) must(NULL, "cannot read the rows");

  forest_root compiled = must(dlsym(must(dlopen(words[1], RTLD_NOW), "cannot load what lleaves compiled"), "forest_root"), "no forest_root");
  void *lightgbm = must(dlopen(getenv("LIB_LIGHTGBM"), RTLD_NOW), "cannot load LIB_LIGHTGBM");
  void *booster, *fast;
  int rounds;
  if (((from_file)dlsym(lightgbm, "LGBM_BoosterCreateFromModelfile"))(words[2], &rounds, &booster)) must(NULL, "LightGBM refuses the trees");
  const int float64 = 1, probability = 0;
  if (((fast_init)dlsym(lightgbm, "LGBM_BoosterPredictForMatSingleRowFastInit"))(booster, probability, 0, -1, float64, width, "num_threads=1", &fast))
    must(NULL, "LightGBM refuses the call");
  fast_predict predict = (fast_predict)dlsym(lightgbm, "LGBM_BoosterPredictForMatSingleRowFast");

  double *theirs = malloc(passes * sizeof(double)), *lleaves = malloc(passes * sizeof(double)), sums[2] = {0};
  for (int pass = -1; pass < passes; pass++) {
    sums[0] = sums[1] = 0;
    double start = seconds(), score;
    for (long row = 0; row < rows; row++) {
      compiled(values + row * width, &score, 0, 1);
      sums[0] += score;
    }
    double between = seconds();
    for (long row = 0; row < rows; row++) {
      int64_t length;
      predict(fast, values + row * width, &length, &score);
      sums[1] += score;
    }
    if (pass >= 0) {
      lleaves[pass] = between - start;
      theirs[pass] = seconds() - between;
    }
  }
  qsort(lleaves, passes, sizeof(double), rising);
  qsort(theirs, passes, sizeof(double), rising);
  double each = 1e9 / rows;
  printf("{\"lleaves\": %.1f, \"LightGBM\": %.1f, \"sums\": [%.17g, %.17g]}\n", lleaves[passes / 2] * each, theirs[passes / 2] * each, sums[0], sums[1]);
}
