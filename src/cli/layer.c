typedef int cli_layer_is_empty;
