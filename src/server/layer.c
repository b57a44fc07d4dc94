typedef int server_layer_is_empty;
