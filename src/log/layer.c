typedef int log_layer_is_empty;
