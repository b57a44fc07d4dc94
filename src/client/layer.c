typedef int client_layer_is_empty;
