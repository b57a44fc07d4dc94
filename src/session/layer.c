typedef int session_layer_is_empty;
