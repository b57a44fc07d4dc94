typedef int core_layer_is_empty;
